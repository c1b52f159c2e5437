"""Processes that read images and die, get stuck, or meet a bad image."""

import os
import signal
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from helpers import HANG, small_cfg
from torch.utils.data import Dataset

from vireid_plugins.data import build_test_loader, build_train_loader, worker_errors
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


class SlowStart(Rows):
    """Rows whose worker starts only once a file is there, and uses no processor until then."""

    def __init__(self, file: Path) -> None:
        super().__init__(-1, None)
        self.file = file

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        while not self.file.exists():
            time.sleep(0.01)


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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_processor_seconds_grow_with_work_and_not_with_a_process_that_is_gone() -> None:
    this, gone = Namespace(pid=os.getpid()), Namespace(pid=None)
    before, end = worker_errors._processor_seconds([this, gone]), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0 < worker_errors._processor_seconds([this, gone]) - before < 1
    assert worker_errors._processor_seconds([gone]) == 0


def test_reporting_loader_waits_for_a_worker_that_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, checks = tmp_path / "go", 0
    over = worker_errors._Watch.over

    def counted(watch: Any, patience: float) -> bool:
        nonlocal checks
        checks += 1
        if checks > 4:
            # It may go on; how long that takes is up to the machine.
            return False
        ended = over(watch, patience)
        if checks == 4:
            go.touch()
        return ended

    monkeypatch.setattr(worker_errors._Watch, "over", counted)
    loader = ReportingLoader(dataset=SlowStart(go), batch_size=8, workers=1, timeout=0.1)
    assert [len(batch) for batch in loader] == [8]
    assert checks >= 4


def test_watch_ends_a_start_and_work_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = [0.0], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(worker_errors, "_processor_seconds", lambda _: used[0])
    started = [0]
    watch = worker_errors._Watch([Namespace(pid=1)], started)
    now[0] = 599.0
    assert not watch.over(30)
    now[0] = 601.0
    assert watch.over(30)
    started[0] = 1
    watch.reset()
    for _ in range(9):
        now[0], used[0] = now[0] + 30, used[0] + 1
        assert not watch.over(30)
    now[0] += 30
    assert watch.over(30)


def test_train_loader_that_is_only_asked_starts_no_worker(data_root: Path) -> None:
    """As fast-reid's trainer does when it is built, also for a finished run that is only scored."""
    loader = build_train_loader(small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", "1"))
    iter(loader)
    assert loader.loader.started is None


def test_reporting_loader_without_workers_raises_the_image_s_error() -> None:
    with pytest.raises(DataError, match=r"^image 'x\.jpg' cannot be read: torn$"):
        list(ReportingLoader(dataset=Rows(5, refuse), batch_size=2, workers=0, timeout=60))


def test_build_loader_waits_a_minute_for_workers(data_root: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", "1")
    assert build_train_loader(cfg).loader.patience == 60
    assert build_test_loader(cfg, "SYSUMM01")[0].patience == 60
