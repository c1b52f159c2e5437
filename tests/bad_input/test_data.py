"""Data sets that are not complete, torn, or say what cannot be."""

import shutil
from pathlib import Path

import pytest
from desk import TRAIN, TRAIN_LLCM, TRAIN_REGDB, Case, check, cut, drop, line, own, write, write_every

SPLIT = "data/RegDB/idx/train_visible_1.txt"


def portrait(desk: Path) -> None:
    """Put an image of a strange name into a test folder of LLCM."""
    person = sorted(own(desk, "data/LLCM/test_vis/cam1").iterdir())[0]
    shutil.copy(next(person.iterdir()), person / "portrait.jpg")


def image_of(desk: Path, part: str) -> str:
    """An image of the first identity of a list of SYSU-MM01."""
    identity = int((desk / f"data/SYSU-MM01/exp/{part}_id.txt").read_text().split(",")[0])
    return str(min((desk / "data" / "SYSU-MM01").glob(f"cam*/{identity:04d}/*.jpg")).relative_to(desk))


CASES = {
    "no data": Case(
        TRAIN,
        "SYSU-MM01 is incomplete: ",
        drop("data/SYSU-MM01"),
    ),
    "camera missing": Case(
        TRAIN,
        "lacks cam6",
        drop("data/SYSU-MM01/cam6"),
    ),
    "test image of no bytes": Case(
        TRAIN,
        "test images are empty or no files, the first: 'data/SYSU-MM01/cam",
        lambda desk: write(image_of(desk, "test"), b"")(desk),
    ),
    "training image of no bytes": Case(
        TRAIN,
        "training images are empty or no files, the first: 'data/SYSU-MM01/cam",
        lambda desk: write(image_of(desk, "train"), b"")(desk),
    ),
    "empty list": Case(
        TRAIN,
        "train_id.txt' must contain one line of comma-separated identities, got ''",
        write("data/SYSU-MM01/exp/train_id.txt", ""),
    ),
    "words in a list": Case(
        TRAIN,
        "train_id.txt' must contain one line of comma-separated identities, got '1,two'",
        write("data/SYSU-MM01/exp/train_id.txt", "1,two"),
    ),
    "bytes in a list": Case(
        TRAIN,
        "train_id.txt' cannot be read: it is not a text file",
        write("data/SYSU-MM01/exp/train_id.txt", b"\xff\xfe\x00"),
    ),
    "no draws": Case(
        TRAIN,
        "the official gallery draws 'data/SYSU-MM01/exp/rand_perm_cam.mat' are missing",
        drop("data/SYSU-MM01/exp/rand_perm_cam.mat"),
    ),
    "torn draws": Case(
        TRAIN,
        "rand_perm_cam.mat' is not the official rand_perm_cam.mat",
        cut("data/SYSU-MM01/exp/rand_perm_cam.mat"),
    ),
    "draws that do not fit": Case(
        TRAIN,
        "files are missing, added or not numbered without gaps",
        drop("data/SYSU-MM01/cam1/*/0001.jpg"),
    ),
    "torn image": Case(
        TRAIN,
        "cannot be read: ",
        cut("data/SYSU-MM01/cam*/*/*.jpg"),
    ),
    "text for an image": Case(
        TRAIN,
        "cannot be read: cannot identify image file",
        write_every("data/SYSU-MM01/cam*/*/*.jpg", "x"),
    ),
    "torn images in the cache": Case(
        TRAIN + "DATALOADER.CACHE cache",
        "cannot be read: ",
        write_every("data/SYSU-MM01/cam*/*/*.jpg", "x"),
    ),
    "cache that is a file": Case(
        TRAIN + "DATALOADER.CACHE sysu.yml",
        "DATALOADER.CACHE: 'sysu.yml' cannot be written: ",
    ),
    "line without a label": Case(
        TRAIN_REGDB,
        "train_visible_1.txt' line 1 must be '<path> <label>', got 'Visible/1/x.bmp'",
        line(SPLIT, "Visible/1/x.bmp"),
    ),
    "path that leads out": Case(
        TRAIN_REGDB,
        "train_visible_1.txt' line 1 leads out of the data set's folder: '../../secret.bmp'",
        line(SPLIT, "../../secret.bmp 0"),
    ),
    "absolute path": Case(
        TRAIN_REGDB,
        "leads out of the data set's folder: '/etc/passwd'",
        line(SPLIT, "/etc/passwd 0"),
    ),
    "drive of Windows": Case(
        TRAIN_REGDB,
        "leads out of the data set's folder: 'C:\\x.bmp'",
        line(SPLIT, "C:\\x.bmp 0"),
    ),
    "wrong modality": Case(
        TRAIN_REGDB,
        "'Thermal/1/x.bmp' must be Visible/<identity>/<image>",
        line(SPLIT, "Thermal/1/x.bmp 0"),
    ),
    "test image that is not there": Case(
        TRAIN_REGDB,
        "1 of 21 test images do not exist, the first: 'data/RegDB/Visible/1/gone.bmp'",
        line("data/RegDB/idx/test_visible_1.txt", "Visible/1/gone.bmp 0"),
    ),
    "image that is not there": Case(
        TRAIN_REGDB,
        "1 of 21 training images do not exist, the first: 'data/RegDB/Visible/1/gone.bmp'",
        line(SPLIT, "Visible/1/gone.bmp 0"),
    ),
    "no list of a split": Case(
        TRAIN_REGDB,
        "train_visible_1.txt' cannot be read: No such file",
        drop(SPLIT),
    ),
    "empty list of a split": Case(
        TRAIN_REGDB,
        "train_visible_1.txt' is empty; it must contain lines '<path> <label>'",
        write(SPLIT, "\n\n"),
    ),
    "LLCM without test identities": Case(
        TRAIN_LLCM,
        "LLCM is incomplete: ",
        drop("data/LLCM/idx/test_id.txt"),
    ),
    "name of LLCM": Case(
        TRAIN_LLCM,
        "an image must have a name like 0891_c05_s181957_f20790_vis.jpg",
        line("data/LLCM/idx/train_vis.txt", "vis/0001/portrait.jpg 0"),
    ),
    "test image of LLCM": Case(
        TRAIN_LLCM,
        "portrait.jpg': an image must have a name like",
        portrait,
    ),
    "no root": Case(
        "tools/verify_data.py LLCM nowhere",
        "LLCM is incomplete: ",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_data_set_with_a_fault_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)
