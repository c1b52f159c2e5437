"""Checkpoints that are missing, torn, foreign or malicious."""

import os
import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from desk import FINAL, TRAIN, TRAIN_LLCM, TRAIN_REGDB, Case, Evil, check, cut, saved, write
from narrow import wide
from torchvision.models import resnet34

THIN = "checkpoint 'thin.pth' does not fill the network: "


def thinned(desk: Path) -> None:
    """Write a checkpoint that has every fourth weight of the trained network."""
    checkpoint = torch.load(desk / FINAL, map_location="cpu", weights_only=True)
    torch.save(checkpoint | {"model": dict(list(checkpoint["model"].items())[::4])}, desk / "thin.pth")


def deeper(desk: Path) -> None:
    """Write weights to start from, of a deeper network; every tensor is one number, repeated."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in resnet34().state_dict().items()}
    torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}, desk / "r34.pth")


def broken(desk: Path) -> None:
    """Write a checkpoint of the trained network with a weight that is NaN."""
    checkpoint = torch.load(desk / FINAL, map_location="cpu", weights_only=True)
    name, value = next(iter(checkpoint["model"].items()))
    torch.save(checkpoint | {"model": checkpoint["model"] | {name: value * torch.nan}}, desk / "nan.pth")


CASES = {
    "none": Case(
        TRAIN + "--eval-only",
        "MODEL.WEIGHTS: set a checkpoint; the output folder 'out' contains none",
    ),
    "missing": Case(
        TRAIN + "MODEL.WEIGHTS gone.pth",
        "checkpoint 'gone.pth' does not exist",
    ),
    "torn": Case(
        TRAIN + f"--eval-only MODEL.WEIGHTS {FINAL}",
        f"'{FINAL}' cannot be loaded as weights",
        cut(FINAL),
    ),
    "malicious": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS evil.pth",
        "'evil.pth' cannot be loaded as weights",
        saved("evil.pth", {"model": Evil()}),
    ),
    "malicious pickle": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS evil.pth",
        "'evil.pth' cannot be loaded as weights",
        write("evil.pth", pickle.dumps({"model": Evil()})),
    ),
    "malicious weights to start from": Case(
        TRAIN + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH evil.pth",
        "'evil.pth' cannot be loaded as weights",
        saved("evil.pth", Evil()),
    ),
    "weights to start from missing": Case(
        TRAIN + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH gone.pth",
        "gone.pth",
    ),
    "malicious public one": Case(
        "tools/convert_checkpoint.py agw evil.t out.pth",
        "'evil.t' cannot be loaded as weights",
        saved("evil.t", {"net": Evil()}),
    ),
    "public one of another layout": Case(
        f"tools/convert_checkpoint.py agw {FINAL} out.pth",
        f"'{FINAL}'",
    ),
    "foreign": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS foreign.pth",
        "checkpoint 'foreign.pth' has no entry 'model'",
        saved("foreign.pth", {"weights": 1}),
    ),
    "another split": Case(
        TRAIN_REGDB + "--eval-only MODEL.WEIGHTS other.pth",
        "was trained on split 2 of RegDB, but split 1 is configured",
        saved("other.pth", {"model": {}, "vireid": {"splits": {"RegDB": 2}}}),
    ),
    "a quarter, scored": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS thin.pth",
        THIN,
        thinned,
    ),
    "a quarter, trained on": Case(
        TRAIN + "MODEL.WEIGHTS thin.pth",
        THIN,
        thinned,
    ),
    "a quarter, indexed": Case(
        "tools/search.py index night --index new.index --config-file sysu.yml --weights thin.pth",
        THIN,
        thinned,
    ),
    "a quarter, drawn": Case(
        "tools/visualize.py rank --config-file sysu.yml --output x.png MODEL.WEIGHTS thin.pth",
        THIN,
        thinned,
    ),
    "a quarter, exported": Case(
        "tools/export_onnx.py --config-file sysu.yml --output x MODEL.WEIGHTS thin.pth",
        THIN,
        thinned,
    ),
    "of another network": Case(
        TRAIN + f"--eval-only MODEL.WEIGHTS {FINAL} MODEL.STREAMS.COUNT 2",
        "keys in the checkpoint -> keys now: MODEL.STREAMS.COUNT: 1 -> 2. Use the configuration that",
    ),
    "of nothing": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS empty.pth",
        "checkpoint 'empty.pth' contains no weights of this network",
        saved("empty.pth", {"model": {}}),
    ),
    "of plain values": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS epoch.pth",
        "'epoch.pth': 'model' must be a state dict, but 'epoch' is int, not a tensor",
        saved("epoch.pth", {"model": {"epoch": 3}}),
    ),
    "a web page": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS page.pth",
        "'page.pth' cannot be loaded as weights: it is a web page",
        write("page.pth", "<html>Please log in</html>"),
    ),
    "a pipe": Case(
        "tools/export_onnx.py --config-file sysu.yml --output x MODEL.WEIGHTS pipe.pth",
        "'pipe.pth' cannot be loaded as weights: it is a pipe",
        lambda desk: os.mkfifo(desk / "pipe.pth"),
    ),
    "of zero bytes": Case(
        "tools/search.py index night --index new.index --config-file sysu.yml --weights none.pth",
        "'none.pth' cannot be loaded as weights: it is empty (0 bytes)",
        write("none.pth", ""),
    ),
    "not finite": Case(
        TRAIN + "--eval-only MODEL.WEIGHTS nan.pth",
        "checkpoint 'nan.pth' has weights that are infinite or NaN, 1 of ",
        broken,
    ),
    "a tag of bytes": Case(
        TRAIN + "--eval-only OUTPUT_DIR trained",
        "'trained/last_checkpoint' does not hold the name of a checkpoint in its folder",
        write("trained/last_checkpoint", b"\xff\x00"),
    ),
    "resumed with another optimizer": Case(
        TRAIN + "--resume OUTPUT_DIR trained SOLVER.OPT SGD",
        "cannot be resumed: SOLVER.OPT is SGD, was Adam",
    ),
    "resumed with an average": Case(
        TRAIN + "--resume OUTPUT_DIR trained SOLVER.EMA_DECAY 0.9",
        "cannot be resumed: SOLVER.EMA_DECAY is 0.9, was 0.0",
    ),
    "converted over another": Case(
        f"tools/convert_checkpoint.py agw evil.t {FINAL}",
        f"'{FINAL}' exists and would be overwritten; choose another target",
    ),
    "weights to start from of another depth": Case(
        (
            TRAIN
            + "MODEL.STREAMS.BACKBONE build_resnet_backbone MODEL.BACKBONE.DEPTH 18x "
            + "MODEL.BACKBONE.PRETRAIN True MODEL.BACKBONE.PRETRAIN_PATH r34.pth"
        ),
        (
            "'r34.pth' for build_resnet_backbone (MODEL.STREAMS.BACKBONE) 18x (MODEL.BACKBONE.DEPTH): 120 of "
            "120 tensors fit; 96 in the file have no counterpart"
        ),
        deeper,
    ),
    "all torn": Case(
        TRAIN + "--resume OUTPUT_DIR trained",
        "nothing in 'trained' can be resumed",
        cut("trained/*.pth"),
    ),
    "other data": Case(
        TRAIN_LLCM + "--resume OUTPUT_DIR trained",
        "cannot be resumed: ",
    ),
    "a run over a run": Case(
        TRAIN + "OUTPUT_DIR trained",
        "OUTPUT_DIR: 'trained' already contains a run (last.pth, model_best.pth, model_final.pth), which would be "
        "overwritten",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_checkpoint_with_a_fault_ends_in_one_message(case: Case, desk: Path) -> None:
    # The file has the widths of torchvision's.
    with wide() if "18x" in case.command else nullcontext():
        check(case, desk)
