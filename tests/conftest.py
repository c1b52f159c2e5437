"""Fixtures of the whole suite: synthetic trees, a trained network, fast-reid without patches, its log."""

import ctypes
import gc
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import small_cfg
from narrow import wide

from vireid_plugins.compat import PATCHES, patch, unpatch
from vireid_plugins.data.synthetic import LlcmSize, RegdbSize, SysuSize, write_llcm, write_regdb, write_sysu
from vireid_plugins.engine import Trainer

# The suite runs one process a core (pytest-xdist): more threads would only wait for each other.
torch.set_num_threads(1)
TREE = SysuSize(train=12, val=2, test=8, images=4, height=72, width=32)
REGDB = RegdbSize(identities=20, images=4, height=72, width=32)
LLCM_TREE = LlcmSize(train=12, test=10, images=3, height=72, width=32)
# An epoch in five steps of 16 images.
LITTLE = SysuSize(train=4, val=1, test=5, images=2, height=72, width=32)
LITTLE_REGDB = RegdbSize(identities=10, images=2, height=72, width=32)
LITTLE_LLCM = LlcmSize(train=4, test=5, images=2, height=72, width=32)


def write_trees(root: Path, sysu: SysuSize, regdb: RegdbSize, llcm: LlcmSize) -> Path:
    write_sysu(root / "SYSU-MM01", sysu, seed=3, workers=1)
    write_regdb(root / "RegDB", regdb, seed=3, workers=1)
    write_llcm(root / "LLCM", llcm, seed=3, workers=1)
    write_own(root / "own", root / "RegDB")
    return root


def write_own(folder: Path, regdb: Path) -> None:
    """Write images of one's own: the identities of a RegDB."""
    folder.mkdir()
    for name, source in (("visible", "Visible"), ("infrared", "Thermal")):
        (folder / name).symlink_to(regdb / source)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small synthetic tree of every layout."""
    return write_trees(tmp_path_factory.mktemp("datasets"), TREE, REGDB, LLCM_TREE)


@pytest.fixture(scope="session")
def little_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `tree`, with the fewest people and images that an epoch and a score need."""
    return write_trees(tmp_path_factory.mktemp("little"), LITTLE, LITTLE_REGDB, LITTLE_LLCM)


@pytest.fixture
def little_root(little_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`little_tree`, and `$FASTREID_DATASETS` pointing at it."""
    monkeypatch.setenv("FASTREID_DATASETS", str(little_tree))
    return little_tree


@pytest.fixture
def data_root(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tree`, and `$FASTREID_DATASETS` pointing at it."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tree))
    return tree


@pytest.fixture
def unpatched() -> Iterator[None]:
    """fast-reid without any patch, also those that this package has applied; afterwards as it was."""
    applied = [name for name, one in PATCHES.items() if one.applied]
    unpatch()
    yield
    unpatch()
    patch(only=applied)


@pytest.fixture(scope="session")
def trained(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a small WRIM-Net that was trained for an epoch on the SYSU-MM01 layout."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(tree))
        torch.manual_seed(0)
        cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(folder))
        Trainer(cfg).train()
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


@pytest.fixture
def wide_resnet() -> Iterator[None]:
    """fast-reid's own ResNet-18 in place of `narrow`'s, for what other code bases have written."""
    with wide():
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """`caplog` that also hears fast-reid's logger once a trainer has stopped it from propagating."""
    logger = logging.getLogger("fastreid")
    logger.addHandler(caplog.handler)
    with caplog.at_level("INFO", "fastreid"):
        yield caplog
    logger.removeHandler(caplog.handler)


def pytest_configure() -> None:
    """Look for no garbage while modules are imported: there is none, and looking takes time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for it again, beside the tests, but not after every 700 objects: that is a twentieth of the suite's time."""
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


STATM = Path("/proc/self/statm")
# Bytes that a process of the suite holds before it is asked to give back what it does not use.
HELD = 1 << 30


def pytest_runtest_logfinish() -> None:
    """Return freed memory to the system. glibc keeps what networks in double precision had: gigabytes in the end."""
    if STATM.exists() and int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > HELD:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the files that took longest, all their tests and fixtures together."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    slowest = ", ".join(f"{file} {duration:.0f} s" for file, duration in seconds.most_common(5))
    terminalreporter.write_line(f"slowest files: {slowest}")
