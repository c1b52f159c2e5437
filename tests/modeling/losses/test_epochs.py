"""Losses that are used in some epochs only (`MODEL.LOSSES.EPOCHS`)."""

import re
from pathlib import Path

import pytest
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage
from helpers import batch, small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.losses.epochs import EpochRange, epoch_ranges, idle_phases

NAMES = ["MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet', 'WeightedTriplet']"]
ROWS = "[['HardTriplet', 1, 1], ['WeightedTriplet', 2, 0]]"


@pytest.mark.parametrize(
    ("first", "last", "epochs"), [(1, 2, [0, 1]), (2, 0, [1, 2, 3]), (3, 3, [2]), (1, 0, [0, 1, 2, 3])]
)
def test_epoch_range_has_the_epochs_from_first_to_last(first: int, last: int, epochs: list[int]) -> None:
    assert [epoch for epoch in range(4) if EpochRange(first, last).has(epoch)] == epochs


def test_losses_change_with_the_epoch_of_the_storage_or_the_model() -> None:
    model = build_model(
        small_cfg("SYSU/one_stream.yml", *NAMES, "MODEL.LOSSES.EPOCHS", ROWS, "MODEL.HEADS.NUM_CLASSES", "4")
    ).train()
    first = {"loss_label_smooth_ce", "loss_hard_triplet"}
    assert set(model(batch())) == first
    model.epoch = 1
    second = {"loss_label_smooth_ce", "loss_weighted_triplet"}
    assert set(model(batch())) == second
    with EventStorage(0) as storage:
        for storage.epoch, expected in ((0, first), (1, second), (5, second)):
            assert set(model(batch())) == expected


@pytest.mark.usefixtures("little_root")
def test_trainer_uses_each_loss_in_its_epochs(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    cfg = small_cfg(
        *("SYSU/one_stream.yml", *NAMES, "MODEL.LOSSES.EPOCHS", ROWS, "SOLVER.MAX_EPOCH", "2"),
        *("OUTPUT_DIR", str(tmp_path), "SOLVER.METRICS_PERIOD", "1"),
    )
    trainer = Trainer(cfg)
    seen: dict[int, set[str]] = {}
    forward = trainer.model.loss_dict

    def loss_dict(inputs: list[object]) -> object:
        values = forward(inputs)
        seen.setdefault(trainer.epoch, set()).update(values)
        return values

    trainer.model.loss_dict = loss_dict
    trainer.train()
    lines = [line for line in log.text.splitlines() if "epoch 2 of 2, step" in line]
    assert lines
    assert not any("loss_hard_triplet" in line for line in lines)
    assert seen == {
        0: {"loss_label_smooth_ce", "loss_hard_triplet"},
        1: {"loss_label_smooth_ce", "loss_weighted_triplet"},
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("[['HardTriplet', 0, 1]]", r"EPOCHS: invalid row \['HardTriplet', 0, 1\]"),
        ("[['HardTriplet', 3, 2]]", r"EPOCHS: invalid row"),
        ("[['HardTriplet', 1]]", r"EPOCHS: invalid row"),
        ("[['HardTriplet', 1, 'end']]", r"EPOCHS: invalid row"),
        ("[['QCT', 1, 2]]", r"EPOCHS: 'QCT' must be one of MODEL\.LOSSES\.NAME"),
        ("[['HardTriplet', 1, 1], ['HardTriplet', 3, 0]]", r"EPOCHS: 'HardTriplet' must be .* have one row"),
        (
            "[['LabelSmoothCE', 1, 1], ['HardTriplet', 1, 2], ['WeightedTriplet', 4, 0]]",
            r"EPOCHS: epoch 3 has no loss",
        ),
    ],
)
def test_epoch_ranges_of_wrong_rows_are_one_error(rows: str, message: str) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", *NAMES, "MODEL.LOSSES.EPOCHS", rows, "SOLVER.MAX_EPOCH", "4")
    with pytest.raises(ConfigError, match=message):
        epoch_ranges(cfg)


@pytest.mark.parametrize(
    ("epochs", "lines"),
    [
        ("7", []),
        (
            "6",
            [
                r"MODEL\.LOSSES\.EPOCHS: .* 6 epochs .*: HardTriplet \(epoch 7\), MSEL \(epoch 7\), DCL",
                r"INPUT\.FIRST_EPOCHS: the run .* 6 epochs .* within the 6",
            ],
        ),
        ("5", [r"MODEL\.LOSSES\.EPOCHS: .* 5 ", r"INPUT\.FIRST_EPOCHS: the run .* 5 epochs .* within the 6"]),
    ],
)
def test_idle_phases_names_the_phases_that_it_never_reaches(epochs: str, lines: list[str]) -> None:
    found = idle_phases(small_cfg("SYSU/pmt.yml", "SOLVER.MAX_EPOCH", epochs))
    assert len(found) == len(lines)
    assert all(re.match(line, one) for line, one in zip(lines, found, strict=True))


@pytest.mark.parametrize("epochs", ["7", "6"])
def test_idle_phases_of_first_epochs_without_views_says_so(epochs: str) -> None:
    without = ["INPUT.FIRST_VIEWS.VISIBLE", "[]", "INPUT.FIRST_VIEWS.INFRARED", "[]"]
    (line,) = (
        one for one in idle_phases(small_cfg("SYSU/pmt.yml", "SOLVER.MAX_EPOCH", epochs, *without)) if "VIEWS" in one
    )
    assert line == "INPUT.FIRST_EPOCHS: the first 6 epochs should have their own views, but INPUT.FIRST_VIEWS has none"


def test_idle_phases_of_first_views_without_epochs_says_so() -> None:
    (line,) = idle_phases(small_cfg("SYSU/pmt.yml", "SOLVER.MAX_EPOCH", "7", "INPUT.FIRST_EPOCHS", "0"))
    assert line == "INPUT.FIRST_VIEWS: no epoch has these views, since INPUT.FIRST_EPOCHS is 0"
