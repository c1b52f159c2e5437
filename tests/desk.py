"""The desk of tests/bad_input: the files of a user, ways to break them, and how a command must fail on them.

A desk is a folder in which commands run. It has a small tree of every layout (`data/`), a small configuration of every
data set (`sysu.yml`, `regdb.yml`, `llcm.yml`), the output folder of a training run (`trained/`), features of RegDB
(`f.npz`), images of one camera (`night/`) and their gallery (`people.index/`). All of them are links to one desk that
the tests share. To change a file, replace the link by a copy first (`own`).
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from helpers import HANG, ROOT, commands, small_cfg

from vireid_plugins.data.datasets import RegDB
from vireid_plugins.search.engines import FolderEngine

# What is done to a desk before the command.
Change = Callable[[Path], object]
TRAIN = "tools/train_net.py --config-file sysu.yml "
TRAIN_REGDB = "tools/train_net.py --config-file regdb.yml "
TRAIN_LLCM = "tools/train_net.py --config-file llcm.yml "
FINAL = "trained/model_final.pth"
# Commands find no CUDA device, also where there is one.
ENVIRONMENT = {"FASTREID_DATASETS": "data", "CUDA_VISIBLE_DEVICES": ""}


class Case(NamedTuple):
    """A mistake.

    Attributes:
        command: its words, with a space between them.
        said: a part of the message.
        broken: what was done to the desk before.
        code: the exit code.
    """

    command: str
    said: str
    broken: Change = lambda desk: None
    code: int = 1


class Evil:
    """Makes a file `ran` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def own(desk: Path, name: str) -> Path:
    """Return the path of a file that can be written or removed; the shared one stays as it is."""
    path = desk
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            shared = path.resolve()
            path.unlink()
            if shared.is_dir():
                shutil.copytree(shared, path, copy_function=os.symlink)
    return path


def write(name: str, content: str | bytes) -> Change:
    """Write a file."""
    return lambda desk: own(desk, name).write_bytes(content.encode() if isinstance(content, str) else content)


def write_every(pattern: str, text: str) -> Change:
    """Write into every file that a pattern finds."""
    return lambda desk: [write(str(file.relative_to(desk)), text)(desk) for file in sorted(desk.glob(pattern))]


def drop(pattern: str) -> Change:
    """Remove the files or folders that a pattern finds."""

    def do(desk: Path) -> None:
        for shared in sorted(desk.glob(pattern)):
            path = own(desk, str(shared.relative_to(desk)))
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return do


def cut(pattern: str, first: int | None = None) -> Change:
    """Leave half of the files that a pattern finds, or of so many."""

    def do(desk: Path) -> None:
        for file in sorted(desk.glob(pattern))[:first]:
            content = file.read_bytes()
            own(desk, str(file.relative_to(desk))).write_bytes(content[: len(content) // 2])

    return do


def line(name: str, text: str) -> Change:
    """Put a line before those of a file."""
    return lambda desk: write(name, text + "\n" + (desk / name).read_text())(desk)


def saved(name: str, content: Any) -> Change:
    """Write a file of torch."""
    return lambda desk: torch.save(content, desk / name)


def signature(desk: Path) -> dict[str, tuple[int, int, int]]:
    """What tells for every file whether it was written; folders that are links are left to the desk they lead to."""
    found = {}
    for folder, _, files in os.walk(desk):
        for name in files:
            path = Path(folder, name)
            status = path.stat()
            found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def run(desk: Path, command: str) -> tuple[int, str]:
    """Run a command on a desk and return its exit code and what it said."""
    ran = commands().run(command.split(), desk, ENVIRONMENT, HANG)
    return ran.code, ran.said


def check(case: Case, desk: Path) -> None:
    """The command ends with one message; it changed no file, trained nothing, and ran no code it was given.

    The message is what follows the last "error: " of a line's beginning.
    """
    case.broken(desk)
    before = signature(desk)
    code, said = run(desk, case.command)
    message = said.rpartition("\nerror: " if "\nerror: " in said else "error: ")[2]
    assert code == case.code, said
    assert "Traceback" not in said
    assert case.said in message, message
    after = signature(desk)
    assert not [name for name in before if after.get(name) != before[name]]
    assert not [name for name in after if name.endswith(".pth") and name not in before]
    assert not (desk / "ran").exists()


def lay_whole_desk(tree: Path, desk: Path) -> None:
    """Make the desk that the others link to; its network is one of the smallest, trained for an epoch."""
    for name in ("tools", "examples", "configs"):
        (desk / name).symlink_to(ROOT / name)
    (desk / "data").symlink_to(tree)
    keys = ["MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "OUTPUT_DIR", "out"]
    for name in ("SYSU", "RegDB", "LLCM"):
        (desk / f"{name.lower()}.yml").write_text(small_cfg(f"{name}/one_stream.yml", *keys).dump())
    dataset = RegDB(root=str(tree), split=1)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    np.savez(desk / "f.npz", features=np.random.default_rng(0).random((len(paths), 4)), paths=paths, split=1)
    (desk / "night").mkdir()
    for number, image in enumerate(sorted((tree / "SYSU-MM01" / "cam3").rglob("*.jpg"))[:3]):
        shutil.copy(image, desk / "night" / f"{number}.jpg")
    for command in (
        TRAIN + "OUTPUT_DIR trained",
        f"tools/search.py index night --index people.index --config-file sysu.yml --weights {FINAL}",
    ):
        code, said = run(desk, command)
        assert code == 0, said
    # Links to them could not be locked.
    for folder in ("trained", "people.index"):
        (desk / folder / ".lock").unlink()


def lay_desk(whole: Path, desk: Path) -> None:
    """Make a desk of links to the whole one, with paths of its own in its gallery."""
    for path in whole.iterdir():
        (desk / path.name).symlink_to(path)
    own(desk, "trained")
    # A folder's images are told by their paths, and a log is written to.
    own(desk, "night")
    write("trained/log.txt", "")(desk)
    (desk / "people.index").unlink()
    shutil.copytree(whole / "people.index", desk / "people.index")
    with FolderEngine(desk / "people.index") as gallery:
        gallery.rekey({one.key: one.key.replace(str(whole), str(desk)) for one in gallery.records()})
        gallery.set_facts({name: text.replace(str(whole), str(desk)) for name, text in gallery.facts().items()})
