"""Processes that read images and die, get stuck, or meet a bad image."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import Dataset

from vireid_plugins.data.reporting import ReportingLoader
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
    time.sleep(600)


def refuse() -> None:
    raise DataError("image 'x.jpg' cannot be read: torn")


def fail() -> None:
    raise RuntimeError("no business of the loader")


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        (die, LoaderError, r"1 of 2 processes that read images died: \d+ \(SIGKILL\); if it was the kernel for want"),
        (hang, LoaderError, r"the 2 processes that read images gave no batch for 2 s; is the disk"),
        (refuse, DataError, r"^image 'x\.jpg' cannot be read: torn$"),
        (fail, RuntimeError, "no business of the loader"),
    ],
)
def test_what_happens_to_a_worker_is_reported(what: Any, error: type[Exception], said: str) -> None:
    loader = ReportingLoader(dataset=Rows(5, what), batch_size=2, workers=2, timeout=2)
    with pytest.raises(error, match=said):
        list(loader)


def test_without_workers_the_error_is_the_image_s() -> None:
    with pytest.raises(DataError, match=r"^image 'x\.jpg' cannot be read: torn$"):
        list(ReportingLoader(dataset=Rows(5, refuse), batch_size=2, workers=0, timeout=60))


def test_a_loader_of_the_trainer_waits_a_minute(data_root: Path) -> None:
    from helpers import small_cfg

    from vireid_plugins.data import build_test_loader, build_train_loader

    cfg = small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", "1")
    assert build_train_loader(cfg).loader.timeout == 60
    assert build_test_loader(cfg, "SYSUMM01")[0].timeout == 60
