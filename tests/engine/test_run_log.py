"""`log.txt`: what a run adds to it, and what becomes of the log when it cannot be written."""

import errno
import logging
import logging.config
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import small_cfg

from vireid_plugins.engine import Run, main
from vireid_plugins.engine.run_log import LogFile, begin_log, close_log, open_log, require_log
from vireid_plugins.errors import ConfigError, UserError


@pytest.fixture(autouse=True)
def _nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run is refused once its data are looked for, as there are none."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "nothing"))
    yield
    close_log()


def config(folder: Path) -> Run:
    """A run in a folder."""
    folder.mkdir(exist_ok=True)
    (folder.parent / "c.yml").write_text(small_cfg("SYSU/one_stream.yml").dump())
    return Run(str(folder.parent / "c.yml"), ("OUTPUT_DIR", str(folder)))


def test_main_of_a_run_that_is_refused_adds_nothing_to_the_log_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = config(folder)
    (folder / "log.txt").write_text("of the run\n")
    (folder / "config.yaml").write_text("of the run\n")
    (folder / "model_final.pth").write_bytes(b"of the run")
    (folder / "last_checkpoint").write_text("model_final.pth")
    for options, message in (
        ({}, "already contains a run"),
        ({"eval_only": True}, r"model_final\.pth' cannot be loaded"),
        ({"resume": True}, "nothing"),
    ):
        with pytest.raises(UserError, match=message):
            main(replace(run, **options))
        assert (folder / "log.txt").read_text() == "of the run\n"
        assert (folder / "config.yaml").read_text() == "of the run\n"
    assert not [handler for handler in logging.getLogger("fastreid").handlers if isinstance(handler, LogFile)]


def test_open_log_of_a_second_run_writes_to_its_own_file_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        open_log(tmp_path / name).info("in %s", name)
    assert "in b" not in (tmp_path / "a" / "log.txt").read_text()
    open_log(tmp_path / "a").info("again")
    assert "again" not in (tmp_path / "a" / "log.txt").read_text()
    begin_log()
    assert (tmp_path / "a" / "log.txt").read_text().splitlines()[-1].endswith("INFO: again")


@pytest.mark.parametrize("earlier", ["", "of an earlier run\n"])
def test_log_file_goes_on_after_a_library_configures_logging(tmp_path: Path, earlier: str) -> None:
    """`dictConfig` closes every handler of the process; importing pymilvus calls it."""
    if earlier:
        (tmp_path / "log.txt").write_text(earlier)
    log = open_log(tmp_path)
    log.info("one")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    log.info("two")
    begin_log()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    log.info("three")
    require_log()

    text = (tmp_path / "log.txt").read_text()
    assert text.startswith(earlier)
    assert [line.split()[-1] for line in text.removeprefix(earlier).splitlines()] == ["one", "two", "three"]


def test_log_file_that_cannot_be_written_says_so_once_and_the_screen_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        log.info("loss 1.5")
        log.info("loss 1.4")
    log.info("loss 1.3")
    said = capsys.readouterr()
    assert "loss 1.5" in said.out
    assert "Logging error" not in said.err
    assert (tmp_path / "log.txt").read_text().endswith("loss 1.3\n")
    with pytest.raises(ConfigError, match=r"log\.txt' cannot be written: No space left on device"):
        require_log()


def test_main_with_a_log_that_is_a_folder_is_one_error(tmp_path: Path) -> None:
    run = config(tmp_path / "run")
    (tmp_path / "run" / "log.txt").mkdir()
    with pytest.raises(ConfigError, match=r"log\.txt' cannot be written: Is a directory"):
        main(run)
