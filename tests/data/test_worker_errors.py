"""Processes that read images and die, get stuck, or meet a bad image."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers import HANG, small_cfg
from torch.utils.data import Dataset

from vireid_plugins.data import build_test_loader, build_train_loader
from vireid_plugins.data.worker_errors import ReportingLoader
from vireid_plugins.errors import DataError, LoaderError


class Rows(Dataset[int]):
    """Rows of which one does something else than be read."""

    def __init__(self, bad: int, what: Any) -> None:
        self.bad, self.what = bad, what

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> int:
        if number == self.bad:
            self.what()
        return number


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    while True:
        signal.pause()


def refuse() -> None:
    raise DataError("image 'x.jpg' cannot be read: torn")


def fail() -> None:
    raise RuntimeError("no business of the loader")


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        (die, LoaderError, r"1 of 2 data-loader workers died: \d+ \(SIGKILL\); if the kernel killed them"),
        (hang, LoaderError, r"the 2 data-loader workers returned no batch for 0\.5 s; check"),
        (refuse, DataError, r"^image 'x\.jpg' cannot be read: torn$"),
        (fail, RuntimeError, "no business of the loader"),
    ],
    ids=["died", "hung", "bad-image", "defect"],
)
def test_reporting_loader_says_what_happened_to_a_worker(what: Any, error: type[Exception], said: str) -> None:
    timeout = 0.5 if what is hang else HANG
    loader = ReportingLoader(dataset=Rows(5, what), batch_size=2, workers=2, timeout=timeout)
    with pytest.raises(error, match=said):
        list(loader)


def test_reporting_loader_without_workers_raises_the_image_s_error() -> None:
    with pytest.raises(DataError, match=r"^image 'x\.jpg' cannot be read: torn$"):
        list(ReportingLoader(dataset=Rows(5, refuse), batch_size=2, workers=0, timeout=60))


def test_build_loader_waits_a_minute_for_workers(data_root: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", "1")
    assert build_train_loader(cfg).loader.patience == 60
    assert build_test_loader(cfg, "SYSUMM01")[0].patience == 60
