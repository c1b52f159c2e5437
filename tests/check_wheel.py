"""Builds a method from a config inside the installed wheel: `make wheel` runs it where no checkout is on the path."""

import sys
from importlib.metadata import files
from pathlib import Path

import vireid_plugins
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine import Trainer

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
