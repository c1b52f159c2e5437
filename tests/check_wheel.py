"""Use the installed wheel as a user does: `make wheel` runs this with no checkout on the path.

It builds a method from a packaged config, then runs the command `vireid`: synthetic data, a short training, the keys.
"""

import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import vireid_plugins
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine import Trainer

TREE = "synthesize SYSUMM01 --root datasets --train 4 --val 1 --test 5 --images 2 --height 48 --width 24"
TRAIN = (
    "train --config-file SYSU/wrim.yml MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.PRETRAIN False MODEL.DEVICE cpu "
    "INPUT.SIZE_TRAIN [64,32] INPUT.SIZE_TEST [64,32] DATALOADER.NUM_WORKERS 0 DATALOADER.NUM_INSTANCE 2 "
    "SOLVER.IMS_PER_BATCH 16 SOLVER.WARMUP_EPOCHS 0 SOLVER.MAX_EPOCH 1 SOLVER.AMP.ENABLED False OUTPUT_DIR out"
)
installed = Path(vireid_plugins.__file__).parent
if Path(__file__).parents[1] / "vireid_plugins" == installed:
    sys.exit(f"error: {installed} is the checkout and not the wheel")
config = Path(config_path("SYSU/wrim.yml"))
if installed not in config.parents:
    sys.exit(f"error: {config} is not inside {installed}")
# The benchmarks and the loops that they compare with stay in the repository.
shipped = files("vireid_plugins") or []
apart = {"benchmark", "reference", "tests", "tools"}
foreign = [str(file) for file in shipped if apart & {*file.parts}]
if foreign or not shipped:
    sys.exit(f"error: {installed} should hold the package alone; in it: {foreign or 'nothing'}")
cfg = get_cfg()
cfg.merge_from_file(str(config))
cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False"])
sys.stdout.write(f"{type(Trainer.build_model(cfg)).__name__} of {installed}\n")
command = Path(sys.executable).with_name("vireid")
for words in ("--help", "keys SYSU", TREE, TRAIN):
    sys.stdout.write(f"vireid {words}\n")
    sys.stdout.flush()
    subprocess.run([command, *words.split()], env={**os.environ, "FASTREID_DATASETS": "datasets"}, check=True)
if not Path("out", "model_final.pth").is_file():
    sys.exit("error: the training left no out/model_final.pth")
