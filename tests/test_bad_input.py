"""What users get wrong, and the message they read for it: within seconds, with nothing trained and nothing overwritten.

Each row of CASES is a command on a desk of its own: a small tree of every layout below `data`, a shrunken configuration
of every data set (`sysu.yml`, `regdb.yml`, `llcm.yml`), the checkpoint of a trained network (`trained/`), features
(`f.npz`) and an index (`people.index`). `break_` is what is wrong with the desk.
"""

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from helpers import ROOT, commands, small_cfg
from torchvision.models import resnet34

from vireid_plugins.data.datasets import RegDB

# Seconds after which a user has gone to get coffee.
LIMIT = 10


class Case(NamedTuple):
    """A command, what is said, and what was done to the desk before."""

    words: str
    said: str
    break_: Callable[[Path], object] = lambda desk: None
    code: int = 1


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def write(name: str, text: str) -> Callable[[Path], object]:
    """Write a file; it takes the place of the shared one."""

    def do(desk: Path) -> None:
        (desk / name).unlink(missing_ok=True)
        (desk / name).write_text(text)

    return do


def drop(name: str) -> Callable[[Path], object]:
    def do(desk: Path) -> None:
        shutil.rmtree(desk / name) if (desk / name).is_dir() else (desk / name).unlink()

    return do


def cut(name: str, part: float = 0.5) -> Callable[[Path], object]:
    """Leave a part of a file, or of the first that a pattern finds."""

    def do(desk: Path) -> None:
        file = next(iter(sorted(desk.glob(name))))
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[: int(len(content) * part)])

    return do


def line(name: str, text: str) -> Callable[[Path], object]:
    """Put a line before those of a list."""
    return lambda desk: write(name, text + "\n" + (desk / name).read_text())(desk)


def saved(name: str, content: Any) -> Callable[[Path], object]:
    return lambda desk: torch.save(content, desk / name)


def thinned(desk: Path) -> None:
    """Write a checkpoint that has every fourth weight of the trained network."""
    checkpoint = torch.load(desk / "trained" / "model_final.pth", map_location="cpu", weights_only=True)
    torch.save(checkpoint | {"model": dict(list(checkpoint["model"].items())[::4])}, desk / "thin.pth")


def deeper(desk: Path) -> None:
    """Write weights to start from, of a deeper network."""
    torch.save(resnet34().state_dict(), desk / "r34.pth")


def arrays(**given: Any) -> Callable[[Path], object]:
    """Write f.npz anew, with some of its arrays changed."""

    def do(desk: Path) -> None:
        found = dict(np.load(desk / "f.npz")) | given
        (desk / "f.npz").unlink()
        np.savez(desk / "f.npz", **{key: value for key, value in found.items() if value is not None})

    return do


TRAIN = "tools/train_net.py --config-file sysu.yml "
REGDB = "tools/train_net.py --config-file regdb.yml "
LLCM = "tools/train_net.py --config-file llcm.yml "
SCORE = "tools/evaluate_features.py --features f.npz --data-root data "
CAM3 = "data/SYSU-MM01/cam3/0001/0001.jpg"
SPLIT = "data/RegDB/idx/train_visible_1.txt"

CONFIG = {
    "no such file": Case("tools/train_net.py --config-file nothing.yml", "config file 'nothing.yml' does not exist, and no shipped config is called 'nothing.yml'; there are LLCM/agw.yml"),
    "no YAML": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml' is not valid YAML: while parsing", write("c.yml", "A: [1, 2")),
    "a list": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml' must hold keys and values, not list", write("c.yml", "- A")),
    "YAML that builds objects": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml' is not valid YAML: could not determine a constructor", write("c.yml", "SEED: !!python/object/apply:os.system ['touch ran']")),
    "Python": Case("tools/train_net.py --config-file c.py", "config file 'c.py'", write("c.py", "import os\nos.system('touch ran')\ncfg = {}\n")),
    "an expression": Case(TRAIN + "SOLVER.BASE_LR __import__('os').system('touch\\ ran')", "SOLVER.BASE_LR"),
    "base missing": Case("tools/train_net.py --config-file c.yml", "config file 'gone.yml' cannot be read: No such file", write("c.yml", "_BASE_: gone.yml")),
    "its own base": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml' is its own _BASE_", write("c.yml", "_BASE_: c.yml")),
    "unknown key": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml': unknown key 'SOLVER.MAX_EPOCHS' (did you mean 'SOLVER.MAX_EPOCH'?)", write("c.yml", "SOLVER: {MAX_EPOCHS: 3}")),
    "wrong type": Case("tools/train_net.py --config-file c.yml", "config file 'c.yml': Type mismatch", write("c.yml", "SOLVER: {MAX_EPOCH: many}")),
    "half a pair": Case(TRAIN + "SOLVER.MAX_EPOCH", "overrides come in pairs, KEY value; got 1 words: SOLVER.MAX_EPOCH"),
    "unknown override": Case(TRAIN + "MODEL.HEAD.NAME x", "command line: unknown key 'MODEL.HEAD' (did you mean 'MODEL.HEADS'?)"),
    "key of a value": Case(TRAIN + "SEED.X 1", "command line: 'SEED' is a value, it has no key 'X'"),
    "meta-architecture": Case(TRAIN + "MODEL.META_ARCHITECTURE WRIM", "MODEL.META_ARCHITECTURE: 'WRIM' does not exist; there are Baseline"),
    "backbone": Case(TRAIN + "MODEL.STREAMS.BACKBONE build_vgg", "MODEL.STREAMS.BACKBONE: 'build_vgg' does not exist; there are build_"),
    "backbone without a cut": Case(TRAIN + "MODEL.STREAMS.BACKBONE build_vit_backbone", "MODEL.STREAMS.BACKBONE: 'build_vit_backbone'"),
    "head": Case(TRAIN + "MODEL.HEADS.NAME Neck", "MODEL.HEADS.NAME: 'Neck' does not exist; there are "),
    "loss": Case(TRAIN + "MODEL.LOSSES.NAME ['Centre']", "MODEL.LOSSES.NAME: 'Centre' does not exist; there are "),
    "sampler": Case(TRAIN + "DATALOADER.SAMPLER_TRAIN Random", "DATALOADER.SAMPLER_TRAIN: 'Random' does not exist; there are BalancedCross"),
    "transform": Case(TRAIN + "INPUT.VIEWS.VISIBLE [['Mirror']]", "INPUT.VIEWS: 'Mirror' does not exist; there are "),
    "probability": Case(TRAIN + "INPUT.VIEWS.VISIBLE [['Flip@often']]", "'Flip@often'"),
    "attention": Case(TRAIN + "MODEL.ATTENTION.STAGE3 ['CBAM']", "MODEL.ATTENTION.STAGE3: 'CBAM' does not exist; there are "),
    "protocol": Case(TRAIN + "TEST.PROTOCOLS ['sysu/all']", "'sysu/all' does not exist; there are "),
    "protocol of another set": Case(TRAIN + "TEST.PROTOCOLS ['regdb/v2i']", "TEST.PROTOCOLS: "),
    "data set": Case(TRAIN + "DATASETS.NAMES ('SYSU',)", "DATASETS.NAMES: 'SYSU' does not exist; there are "),
    "batch": Case(TRAIN + "SOLVER.IMS_PER_BATCH 10", "SOLVER.IMS_PER_BATCH: 10 is not P x 2 x K images; with DATALOADER.NUM_INSTANCE 2 it must be a multiple of 4"),
    "batch of too many": Case(TRAIN + "SOLVER.IMS_PER_BATCH 400", "the training set has 14 identities with both modalities, but a batch needs 100"),
    "no epoch": Case(TRAIN + "SOLVER.MAX_EPOCH 0", "SOLVER.MAX_EPOCH: must be at least 1, got 0"),
    "no evaluation": Case(TRAIN + "TEST.EVAL_PERIOD 0", "TEST.EVAL_PERIOD: must be at least 1, got 0"),
    "average": Case(TRAIN + "SOLVER.EMA_DECAY 1.0", "SOLVER.EMA_DECAY: must be at least 0 (no average) and below 1, got 1.0"),
    "fp16 on a CPU": Case(TRAIN + "SOLVER.AMP.ENABLED True", "SOLVER.AMP.DTYPE: float16 needs a CUDA device; on a CPU use bfloat16"),
    "no CUDA": Case(TRAIN + "MODEL.DEVICE cuda", "MODEL.DEVICE: 'cuda' is asked for, but torch sees no CUDA device; use cpu"),
    "no device": Case(TRAIN + "MODEL.DEVICE gpu", "MODEL.DEVICE: 'gpu' is no device; there are cpu, cuda and cuda:0"),
    "interpolation": Case(TRAIN + "INPUT.INTERPOLATION cubic", "INPUT.INTERPOLATION: 'cubic' does not exist; there are bicubic, bilinear"),
    "optimiser": Case(TRAIN + "SOLVER.OPT Lion", "SOLVER.OPT: torch.optim has no 'Lion'; use Adam, AdamW or SGD"),
    "frozen layers": Case(TRAIN + "MODEL.FREEZE_LAYERS ['neck'] SOLVER.FREEZE_ITERS 5", "MODEL.FREEZE_LAYERS: 'neck' matches no parameter; names begin with "),
    "split": Case(REGDB + "DATASETS.REGDB.SPLIT 11", "DATASETS.REGDB.SPLIT: RegDB has the splits 1 to 10, got 11"),
    "training list": Case(TRAIN + "DATASETS.SYSU.TRAIN all", "DATASETS.SYSU.TRAIN: 'all' does not exist; there are train, trainval"),
    "expected results": Case(TRAIN + "TEST.EXPECTED_RESULTS [['SYSUMM01','mAP']]", "TEST.EXPECTED_RESULTS: ['SYSUMM01', 'mAP'] is not a row"),
    "parts of a batch": Case(TRAIN + "SOLVER.ACCUMULATE 3", "SOLVER.ACCUMULATE: 4 identities a batch and process do not divide into 3 parts"),
    "fast-reid's switches": Case(TRAIN + "INPUT.REA.ENABLED True", "INPUT.REA.ENABLED: has no effect here; list the transforms in INPUT.VIEWS instead"),
    "metric": Case(TRAIN + "TEST.METRIC l1", "TEST.METRIC: 'l1' does not exist; there are cosine, euclidean, inner_product"),
    "metric and re-ranking": Case(TRAIN + "TEST.METRIC inner_product TEST.RERANK.ENABLED True", "TEST.RERANK.ENABLED: re-ranking needs a distance, but TEST.METRIC is inner_product; set it to cosine or euclidean"),
    "metric and expansion": Case(TRAIN + "TEST.METRIC euclidean TEST.AQE.ENABLED True", "TEST.AQE.ENABLED: query expansion ranks by the cosine, but TEST.METRIC is euclidean"),
    "aspect draw": Case(TRAIN + "INPUT.REA.ASPECT_DRAW evenly", "INPUT.REA.ASPECT_DRAW: 'evenly' does not exist; there are even, log"),
    "erased area": Case(TRAIN + "INPUT.REA.AREA [0.4,0.02]", "INPUT.REA.AREA: must be the smallest and the largest value, both above 0, got [0.4, 0.02]"),
    "spread of the classifier": Case(TRAIN + "MODEL.HEADS.CLASSIFIER_STD -0.1", "MODEL.HEADS.CLASSIFIER_STD: must be 0 or more, got -0.1"),
    "no weight of a feature": Case(TRAIN + "TEST.FEATURE.NECK_WEIGHT 0.0", "TEST.FEATURE: POOLED_WEIGHT and NECK_WEIGHT must be 0 or more, and one of them above 0; got 0.0 and 0.0"),
    "augmentation": Case(TRAIN + "INPUT.AUGMENT gpu", "INPUT.AUGMENT: 'gpu' does not exist; there are device, host"),
    "workers": Case(TRAIN + "DATALOADER.NUM_WORKERS -1", "DATALOADER.NUM_WORKERS: must be at least 0, got -1"),
    "kept checkpoints": Case(TRAIN + "SOLVER.CHECKPOINT_KEEP -2", "SOLVER.CHECKPOINT_KEEP: must be at least 0, got -2"),
}  # fmt: skip
COMMAND_LINE = {
    "no process": Case(TRAIN + "--num-gpus 0", "--num-gpus 0 --num-machines 1 --machine-rank 0: the first two are at least 1"),
    "no such machine": Case(TRAIN + "--num-machines 2 --machine-rank 2", "the last counts the machines from 0"),
    "no address": Case(TRAIN + "--num-machines 2", "--dist-url: several machines need the address of the first"),
    "unknown flag": Case("tools/train_net.py --configfile sysu.yml", "unrecognized arguments: --configfile", code=2),
    "unknown set": Case("tools/verify_data.py SYSU data", "invalid choice: 'SYSU'", code=2),
    "splits twice": Case("tools/train_regdb_splits.py --config-file regdb.yml --splits 1,1", "'1,1' must be different numbers of 1 to 10 with commas between", code=2),
    "splits of another set": Case("tools/train_regdb_splits.py --config-file sysu.yml", "DATASETS.NAMES and TESTS must be RegDB alone to train its splits"),
    "picture of no format": Case("tools/visualize.py rank --config-file sysu.yml --output x.txt", "--output: 'x.txt'"),
    "nobody in a tree": Case("tools/make_synthetic.py RegDB --identities 0", "0 is not at least 1", code=2),
    "benchmark on CUDA": Case("tools/benchmark.py losses --device cuda", "--device: 'cuda' is asked for, but torch sees no CUDA device"),
}  # fmt: skip
DATA = {
    "no data": Case(TRAIN, "SYSU-MM01 is not complete: in ", drop("data/SYSU-MM01")),
    "camera missing": Case(TRAIN, "there is no cam6", drop("data/SYSU-MM01/cam6")),
    "empty list": Case(TRAIN, "train_id.txt' must hold one line of comma separated identities, got ''", write("data/SYSU-MM01/exp/train_id.txt", "")),
    "words in a list": Case(TRAIN, "train_id.txt' must hold one line of comma separated identities, got '1,two'", write("data/SYSU-MM01/exp/train_id.txt", "1,two")),
    "bytes in a list": Case(TRAIN, "train_id.txt' cannot be read: it is not a text file", lambda desk: (drop("data/SYSU-MM01/exp/train_id.txt")(desk), (desk / "data/SYSU-MM01/exp/train_id.txt").write_bytes(b"\xff\xfe\x00"))),
    "no draws": Case(TRAIN, "the official gallery draws 'data/SYSU-MM01/exp/rand_perm_cam.mat' are missing", drop("data/SYSU-MM01/exp/rand_perm_cam.mat")),
    "torn draws": Case(TRAIN, "rand_perm_cam.mat' is not the official rand_perm_cam.mat", cut("data/SYSU-MM01/exp/rand_perm_cam.mat")),
    "draws that do not fit": Case(TRAIN, "files are missing, added or not numbered without gaps", lambda desk: [file.unlink() for file in desk.glob("data/SYSU-MM01/cam1/*/0001.jpg")]),
    "torn image": Case(TRAIN, "cannot be read: ", lambda desk: [cut(str(file.relative_to(desk)))(desk) for file in desk.glob("data/SYSU-MM01/cam*/*/*.jpg")]),
    "text for an image": Case(TRAIN, "cannot be read: cannot identify image file", lambda desk: [write(str(file.relative_to(desk)), "x")(desk) for file in desk.glob("data/SYSU-MM01/cam*/*/*.jpg")]),
    "torn images in the cache": Case(TRAIN + "DATALOADER.CACHE cache", "cannot be read: ", cut("data/SYSU-MM01/cam*/*/*.jpg")),
    "cache that is a file": Case(TRAIN + "DATALOADER.CACHE sysu.yml", "DATALOADER.CACHE: 'sysu.yml' cannot be written: "),
    "line without a label": Case(REGDB, "train_visible_1.txt' line 1 must be '<path> <label>', got 'Visible/1/x.bmp'", line(SPLIT, "Visible/1/x.bmp")),
    "path that leads out": Case(REGDB, "train_visible_1.txt' line 1 leads out of the data set's folder: '../../secret.bmp'", line(SPLIT, "../../secret.bmp 0")),
    "absolute path": Case(REGDB, "leads out of the data set's folder: '/etc/passwd'", line(SPLIT, "/etc/passwd 0")),
    "drive of Windows": Case(REGDB, "leads out of the data set's folder: 'C:\\x.bmp'", line(SPLIT, "C:\\x.bmp 0")),
    "wrong modality": Case(REGDB, "'Thermal/1/x.bmp' must be Visible/<identity>/<image>", line(SPLIT, "Thermal/1/x.bmp 0")),
    "test image that is not there": Case(REGDB, "1 of 81 test images do not exist, the first: 'data/RegDB/Visible/1/gone.bmp'", line("data/RegDB/idx/test_visible_1.txt", "Visible/1/gone.bmp 0")),
    "image that is not there": Case(REGDB, "1 of 81 training images do not exist, the first: 'data/RegDB/Visible/1/gone.bmp'", line(SPLIT, "Visible/1/gone.bmp 0")),
    "no list of a split": Case(REGDB, "train_visible_1.txt' cannot be read: No such file", drop(SPLIT)),
    "empty list of a split": Case(REGDB, "train_visible_1.txt' is empty; it must hold lines '<path> <label>'", write(SPLIT, "\n\n")),
    "LLCM without test identities": Case(LLCM, "LLCM is not complete: in ", drop("data/LLCM/idx/test_id.txt")),
    "name of LLCM": Case(LLCM, "an image must be named as 0891_c05_s181957_f20790_vis.jpg", line("data/LLCM/idx/train_vis.txt", "vis/0001/portrait.jpg 0")),
    "test image of LLCM": Case(LLCM, "portrait.jpg': an image must be named as", lambda desk: shutil.copy(next(iter(desk.glob("data/LLCM/test_vis/cam1/*/*.jpg"))), next(iter(desk.glob("data/LLCM/test_vis/cam1/*"))) / "portrait.jpg")),
    "no root": Case("tools/verify_data.py LLCM nowhere", "LLCM is not complete: in "),
}  # fmt: skip
FEATURES = {
    "no features": Case(SCORE.replace("f.npz", "g.npz") + "--protocol regdb/v2i --split 1", "'g.npz' does not exist; it must be a .npz with 'features' (n, D) and 'paths' (n,)"),
    "no archive": Case(SCORE + "--protocol regdb/v2i --split 1", "'f.npz' is not a .npz file", write("f.npz", "x")),
    "torn archive": Case(SCORE + "--protocol regdb/v2i --split 1", "'f.npz' is not a .npz file", cut("f.npz")),
    "no paths": Case(SCORE + "--protocol regdb/v2i --split 1", "'f.npz' has no array paths; it has features", arrays(paths=None)),
    "pickled paths": Case(SCORE + "--protocol regdb/v2i --split 1", "save paths as str, not as object", arrays(paths=np.array([Evil()], dtype=object))),
    "not finite": Case(SCORE + "--protocol regdb/v2i --split 1", "are not finite, the first: ", arrays(features=np.full((80, 4), np.nan))),
    "other number": Case(SCORE + "--protocol regdb/v2i --split 1", "features must be (n, D) for n paths; got (3, 4) for ", arrays(features=np.ones((3, 4)))),
    "image missing": Case(SCORE + "--protocol sysu/official/all/1shot", "images have no features, the first: "),
    "no split": Case(SCORE + "--protocol regdb/v2i", "RegDB has ten splits: say which one, 1 to 10, the features were trained on (--split)"),
    "split of a set without": Case(SCORE + "--protocol llcm/v2i --split 1", "LLCM has no splits, but split 1 was asked for"),
    "other split": Case(SCORE + "--protocol regdb/v2i --split 2", "'f.npz' says that its model was trained on split 1, but split 2 is asked for"),
    "unknown protocol": Case(SCORE + "--protocol regdb/i2i --split 1", "'regdb/i2i' does not exist; there are "),
    "merge of something else": Case("tools/evaluate_features.py --merge sysu.yml", "'sysu.yml' holds no results"),
}  # fmt: skip
CHECKPOINTS = {
    "none": Case(TRAIN + "--eval-only", "MODEL.WEIGHTS: name a checkpoint; the output folder 'out' holds none either"),
    "missing": Case(TRAIN + "MODEL.WEIGHTS gone.pth", "checkpoint 'gone.pth' does not exist"),
    "torn": Case(TRAIN + "--eval-only MODEL.WEIGHTS trained/model_final.pth", "'trained/model_final.pth' cannot be loaded as weights", cut("trained/model_final.pth")),
    "malicious": Case(TRAIN + "--eval-only MODEL.WEIGHTS evil.pth", "'evil.pth' cannot be loaded as weights", saved("evil.pth", {"model": Evil()})),
    "malicious pickle": Case(TRAIN + "--eval-only MODEL.WEIGHTS evil.pth", "'evil.pth' cannot be loaded as weights", lambda desk: (desk / "evil.pth").write_bytes(pickle.dumps({"model": Evil()}))),
    "malicious weights to start from": Case(TRAIN + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH evil.pth", "'evil.pth' cannot be loaded as weights", saved("evil.pth", Evil())),
    "weights to start from missing": Case(TRAIN + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH gone.pth", "gone.pth"),
    "malicious public one": Case("tools/convert_checkpoint.py agw evil.t out.pth", "'evil.t' cannot be loaded as weights", saved("evil.t", {"net": Evil()})),
    "public one of another layout": Case("tools/convert_checkpoint.py agw trained/model_final.pth out.pth", "'trained/model_final.pth'"),
    "foreign": Case(TRAIN + "--eval-only MODEL.WEIGHTS foreign.pth", "checkpoint 'foreign.pth' has no entry 'model'", saved("foreign.pth", {"weights": 1})),
    "another split": Case(REGDB + "--eval-only MODEL.WEIGHTS other.pth", "was trained on split 2 of RegDB, but split 1 is asked for", saved("other.pth", {"model": {}, "vireid": {"splits": {"RegDB": 2}}})),
    "a quarter, scored": Case(TRAIN + "--eval-only MODEL.WEIGHTS thin.pth", "checkpoint 'thin.pth' does not fill the network: ", thinned),
    "a quarter, trained on": Case(TRAIN + "MODEL.WEIGHTS thin.pth", "checkpoint 'thin.pth' does not fill the network: ", thinned),
    "a quarter, indexed": Case("tools/search.py index night --index new.index --config-file sysu.yml --weights thin.pth", "checkpoint 'thin.pth' does not fill the network: ", thinned),
    "a quarter, drawn": Case("tools/visualize.py rank --config-file sysu.yml --output x.png MODEL.WEIGHTS thin.pth", "checkpoint 'thin.pth' does not fill the network: ", thinned),
    "a quarter, exported": Case("tools/export_onnx.py --config-file sysu.yml --output x MODEL.WEIGHTS thin.pth", "checkpoint 'thin.pth' does not fill the network: ", thinned),
    "of another network": Case(TRAIN + "--eval-only MODEL.WEIGHTS trained/model_final.pth MODEL.STREAMS.COUNT 2", "as it was trained -> as it is now: MODEL.STREAMS.COUNT: 1 -> 2. Set the keys"),
    "of nothing": Case(TRAIN + "--eval-only MODEL.WEIGHTS empty.pth", "checkpoint 'empty.pth' holds no weights of this network", saved("empty.pth", {"model": {}})),
    "of plain values": Case(TRAIN + "--eval-only MODEL.WEIGHTS epoch.pth", "'epoch.pth': 'model' must be a state dict; its 'epoch' is no tensor but int", saved("epoch.pth", {"model": {"epoch": 3}})),
    "weights to start from of another depth": Case(TRAIN + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH r34.pth", "'r34.pth' for build_resnet_backbone (MODEL.STREAMS.BACKBONE) 18x (MODEL.BACKBONE.DEPTH): 120 of 120 tensors fit; 96 of the file have no place", deeper),
    "all torn": Case(TRAIN + "--resume OUTPUT_DIR trained", "nothing in 'trained' can be resumed", lambda desk: [cut(f"trained/{name}.pth")(desk) for name in ("model_best", "model_final")]),
    "other data": Case("tools/train_net.py --config-file llcm.yml --resume OUTPUT_DIR trained", "cannot be resumed: "),
    "a run over a run": Case(TRAIN + "OUTPUT_DIR trained", "OUTPUT_DIR: 'trained' holds a run already (model_best.pth, model_final.pth), which would be overwritten"),
}  # fmt: skip
INDEX = {
    "none": Case("tools/search.py query night --index nowhere", "'nowhere' holds no gallery; make one: python tools/search.py index IMAGES --index nowhere"),
    "torn": Case("tools/search.py query night --index people.index", "the gallery 'people.index' is damaged", cut("people.index/gallery.json")),
    "vectors that run": Case("tools/search.py query night --index people.index", "the gallery 'people.index' is damaged", lambda desk: (drop("people.index/vectors.npy")(desk), np.save(desk / "people.index/vectors.npy", np.array([Evil()], dtype=object)))),
    "vectors missing": Case("tools/search.py query night --index people.index", "the gallery 'people.index' is damaged", drop("people.index/vectors.npy")),
    "weights gone": Case("tools/search.py query night --index people.index", "which do not exist any more", drop("trained/model_final.pth")),
    "no images": Case("tools/search.py index empty --index new.index --config-file sysu.yml --weights trained/model_final.pth", "'empty' holds no image; images end in .jpg", lambda desk: (desk / "empty").mkdir()),
    "no folder": Case("tools/search.py query gone --index people.index", "'gone' does not exist; images end in .jpg"),
    "something else there": Case("tools/search.py index night --index data --config-file sysu.yml --weights trained/model_final.pth", "'data' is there and is no gallery: writing one would replace it"),
    "modality": Case("tools/search.py query night --index people.index --modality ir", "--modality: 'ir' does not exist; there are visible, infrared, folder, auto"),
    "torn query": Case("tools/search.py query night --index people.index", "cannot be read: ", cut("night/*.jpg")),
    "nothing to remove": Case("tools/search.py remove day --index people.index", "'day': no image of the gallery 'people.index' is there"),
}  # fmt: skip
ENVIRONMENT = {
    "folder below a file": Case(TRAIN + "OUTPUT_DIR sysu.yml/out", "OUTPUT_DIR: 'sysu.yml/out' cannot be written: Not a directory; name a folder that can"),
    "folder that is a file": Case(TRAIN + "OUTPUT_DIR sysu.yml", "OUTPUT_DIR: 'sysu.yml' cannot be written: "),
    "read-only file system": Case(TRAIN + "OUTPUT_DIR /proc/out", "OUTPUT_DIR: '/proc/out' cannot be written: "),
    "scores below a file": Case(SCORE + "--protocol regdb/v2i --split 1 --json sysu.yml/x.json", "cannot be written"),
    "picture below a file": Case("tools/visualize.py training --config-file sysu.yml --output sysu.yml/x.png OUTPUT_DIR trained", "cannot be written"),
    "report below a file": Case("tools/report.py --config-file sysu.yml --output sysu.yml/x.html OUTPUT_DIR trained", "'sysu.yml/x.html' cannot be written: "),
    "export below a file": Case("tools/export_onnx.py --config-file sysu.yml --output sysu.yml/x OUTPUT_DIR trained", "the export: 'sysu.yml/x' cannot be written: Not a directory"),
    "index below a file": Case("tools/search.py index night --index sysu.yml/x --config-file sysu.yml --weights trained/model_final.pth", "the gallery: 'sysu.yml' cannot be written: "),
    "port taken": Case(TRAIN + "--num-machines 2 --machine-rank 0 --dist-url tcp://127.0.0.1:{port}", "--dist-url: tcp://127.0.0.1:{port}"),
    "address of nobody": Case(TRAIN + "--num-machines 2 --machine-rank 0 --dist-url 127.0.0.1", "--dist-url: "),
}  # fmt: skip
TABLES = {
    "config": CONFIG, "command line": COMMAND_LINE, "data": DATA, "features": FEATURES, "checkpoints": CHECKPOINTS,
    "index": INDEX, "environment": ENVIRONMENT,
}  # fmt: skip
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}


def linked(source: Path, target: Path) -> None:
    """Copy a tree as hard links: files that are changed must be unlinked first."""
    shutil.copytree(source, target, copy_function=os.link)


@pytest.fixture(scope="session")
def whole_desk(tree: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = tmp_path_factory.mktemp("whole_desk")
    linked(tree, desk / "data")
    linked(trained, desk / "trained")
    for name, config in (("sysu", "SYSU/wrim.yml"), ("regdb", "RegDB/wrim.yml"), ("llcm", "LLCM/wrim.yml")):
        (desk / f"{name}.yml").write_text(small_cfg(config, "OUTPUT_DIR", "out").dump())
    for name in ("tools", "examples", "configs"):
        (desk / name).symlink_to(ROOT / name)
    dataset = RegDB(root=str(tree), split=1)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    np.savez(desk / "f.npz", features=np.random.default_rng(0).random((len(paths), 4)), paths=paths, split=1)
    (desk / "night").mkdir()
    for number, image in enumerate(sorted((tree / "SYSU-MM01" / "cam3").rglob("*.jpg"))[:3]):
        shutil.copy(image, desk / "night" / f"{number}.jpg")
    words = "tools/search.py index night --index people.index --config-file sysu.yml --weights trained/model_final.pth"
    made = commands().run(words.split(), desk, {})
    assert made.code == 0, made.said
    note = json.loads((desk / "people.index" / "gallery.json").read_text())
    assert len(note["entries"]) == 3
    return desk


@pytest.fixture
def desk(whole_desk: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "desk"
    shutil.copytree(whole_desk, copy, copy_function=os.link, symlinks=True)
    note = copy / "people.index" / "gallery.json"
    text = note.read_text().replace(str(whole_desk), str(copy))
    note.unlink()
    note.write_text(text)
    return copy


def contents(desk: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in desk.rglob("*") if file.is_file() and not file.is_symlink()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_one_message_in_seconds(case: Case, desk: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        case.break_(desk)
        before = contents(desk)
        words = case.words.replace("{port}", port).replace("\\ ", "\0").split()
        ran = commands().run(
            [word.replace("\0", " ") for word in words],
            desk,
            {"FASTREID_DATASETS": "data", "CUDA_VISIBLE_DEVICES": ""},
            LIMIT,
        )
    message = ran.said.rpartition("\nerror: " if "\nerror: " in ran.said else "error: ")[2]
    assert ran.code == case.code, ran.said
    assert "Traceback" not in ran.said
    assert case.said.replace("{port}", port) in message, message
    after = contents(desk)
    logs = {file for file in before if file.name == "log.txt"}
    assert not [file for file, content in before.items() if file not in logs and after.get(file) != content]
    assert not [file for file in after if file.suffix == ".pth" and file not in before]
    assert not (desk / "ran").exists()


def test_there_are_enough() -> None:
    assert len(CASES) >= 60
    assert len({case.words + case.said for case in CASES.values()}) > 100
