"""Every command on a disk with a few KiB left: one message, the former file whole, what was computed still there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import ENVIRONMENT, FINAL
from helpers import HANG, commands
from small_disk import SmallDisk

from vireid_plugins.engine.checkpoint import load_checkpoint

FULL = "No space left on device"
SCORE = "tools/evaluate_features.py --features f.npz --data-root data --split 1 "
TRAIN = "tools/train_net.py --config-file sysu.yml "


@pytest.fixture
def disk(desk: Path) -> Iterator[SmallDisk]:
    """A file system of 32 MiB at `small` on the desk."""
    (desk / "small").mkdir()
    try:
        mounted = SmallDisk(desk / "small", 32 * 1024)
    except OSError:
        pytest.skip("this user can mount nothing")
    yield mounted
    mounted.close()


def run(disk: SmallDisk, command: str) -> tuple[int, str]:
    desk = disk.folder.parent
    # What cannot be written is kept in the system's temporary folder.
    ran = commands().run(command.split(), desk, {**ENVIRONMENT, "TMPDIR": str(desk)}, HANG, disk.holder.pid)
    return ran.code, ran.said


def refused(disk: SmallDisk, command: str, file: str) -> str:
    """The command ends in one message that names the file and the system's reason, and leaves nothing half-written."""
    code, said = run(disk, command)
    assert code == 1, said
    assert "Traceback" not in said, said
    assert "Logging error" not in said, said
    assert said.count("error: ") == 1, said
    message = said.rpartition("error: ")[2]
    assert file in message, message
    assert f"cannot be written: {FULL}" in message, message
    assert not list(disk.seen.rglob("*.partial")), list(disk.seen.rglob("*"))
    return said


def files(disk: SmallDisk) -> set[str]:
    return {str(file.relative_to(disk.seen)) for file in disk.seen.rglob("*") if file.is_file()} - {"fill"}


# Kibibytes that are left, and the file that does not fit.
@pytest.mark.parametrize(
    ("left", "file"),
    [(0, "small/o"), (4, "small/o/"), (28, "small/o/"), (1024, "small/o/last.pth")],
    ids=["nothing", "log", "events", "checkpoint"],
)
def test_train_on_a_full_disk(disk: SmallDisk, left: int, file: str) -> None:
    disk.fill(left)
    said = refused(disk, TRAIN + "OUTPUT_DIR small/o", file)
    assert not list(disk.seen.rglob("*.pth"))
    if left == 1024:
        assert ": loss " in said


def test_train_on_a_disk_that_fills_resumes_from_the_last_checkpoint(disk: SmallDisk) -> None:
    assert run(disk, TRAIN + "OUTPUT_DIR small/o")[0] == 0
    whole = {file: file.read_bytes() for file in disk.seen.rglob("*") if file.suffix in (".pth", ".json")}
    disk.fill(64)
    longer = TRAIN + "--resume OUTPUT_DIR small/o SOLVER.MAX_EPOCH 2"
    said = refused(disk, longer, "small/o/last.pth")
    assert ": loss " in said
    for file, content in whole.items():
        if file.suffix == ".pth":
            assert file.read_bytes() == content
    (disk.seen / "fill").unlink()
    (disk.seen / "o" / "model_best.pth").unlink()
    assert run(disk, longer + " TEST.EVAL_PERIOD 5")[0] == 0
    assert load_checkpoint(disk.seen / "o" / "model_final.pth")["epoch"] == 1


def test_evaluate_and_score_on_a_full_disk_keep_the_scores_on_the_screen(disk: SmallDisk) -> None:
    protocols = "--protocol regdb/v2i "
    assert run(disk, SCORE + protocols + "--json small/x.json")[0] == 0
    former = (disk.seen / "x.json").read_bytes()
    disk.fill()
    said = refused(disk, SCORE + protocols + "regdb/i2v --json small/x.json", "small/x.json")
    assert "| regdb/i2v " in said
    assert (disk.seen / "x.json").read_bytes() == former
    disk.fill(16)
    said = refused(disk, TRAIN + f"--eval-only OUTPUT_DIR small MODEL.WEIGHTS {FINAL}", "small/")
    assert "Rank-1" in said
    assert files(disk) <= {"x.json", "log.txt"}


def test_index_and_remove_on_a_full_disk(disk: SmallDisk) -> None:
    index = f"tools/search.py index night --index small/a.index --config-file sysu.yml --weights {FINAL}"
    disk.fill()
    refused(disk, index, "small/a.index")
    assert files(disk) == set()
    (disk.seen / "fill").unlink()
    assert run(disk, index)[0] == 0
    former = {name: (disk.seen / name).read_bytes() for name in files(disk)}
    disk.fill()
    refused(disk, "tools/search.py remove night/0.jpg --index small/a.index", "small/a.index")
    assert {name: (disk.seen / name).read_bytes() for name in files(disk)} == former


MODEL = "--config-file sysu.yml OUTPUT_DIR trained"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        pytest.param(f"tools/export_onnx.py --output small/x {MODEL}", "small/x", marks=pytest.mark.slow),
        (f"tools/visualize.py training --output small/x.pdf {MODEL}", "small/x.pdf"),
        (f"tools/visualize.py rank --output small/x.png {MODEL}", "small/x.png"),
        (f"tools/report.py --output small/x.html {MODEL}", "small/x.html"),
        ("tools/make_synthetic.py RegDB --root small/d --identities 4 --images 2", "small/d/RegDB/"),
        (TRAIN + "--eval-only TEST.SAVE_FEATURES True OUTPUT_DIR small", "small/"),
    ],
    ids=["export", "curves", "pictures", "report", "tree", "features"],
)
def test_commands_on_a_full_disk(disk: SmallDisk, command: str, file: str) -> None:
    disk.fill(8)
    if "SAVE_FEATURES" in command:
        command += f" MODEL.WEIGHTS {FINAL}"
    refused(disk, command, file)
    assert files(disk) <= {"log.txt", "evaluation.json"}


def test_splits_on_a_full_disk_keep_the_mean(disk: SmallDisk) -> None:
    """With a split that is finished already, and is only averaged."""
    finished = disk.seen / "s" / "split_1"
    finished.mkdir(parents=True)
    (finished / "model_final.pth").symlink_to(disk.folder.parent / FINAL)
    score = SCORE + "--protocol regdb/v2i --json small/s/split_1/evaluation.json"
    assert run(disk, score)[0] == 0
    disk.fill()
    said = refused(
        disk, "tools/train_regdb_splits.py --config-file regdb.yml --splits 1 OUTPUT_DIR small/s", "splits.json"
    )
    assert "kept as '" in said


def test_train_with_a_cache_on_a_full_disk_says_what_it_needs(disk: SmallDisk) -> None:
    disk.fill(8)
    code, said = run(disk, TRAIN + "DATALOADER.CACHE small/cache")
    assert code == 1
    assert "error: DATALOADER.CACHE: 54 images of 64 x 32 need" in said
    assert {Path(file).suffix for file in files(disk)} <= {".lock"}
