import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from vireid_plugins.data.datasets import LLCM
from vireid_plugins.data.verify import verify
from vireid_plugins.data.verify.published import PUBLISHED
from vireid_plugins.errors import DataError

FOLDERS = {"SYSUMM01": "SYSU-MM01", "RegDB": "RegDB", "LLCM": "LLCM"}


@pytest.fixture
def copy(little_tree: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies a data set, and returns the data root of the copy."""

    def copied(name: str) -> Path:
        shutil.copytree(little_tree / FOLDERS[name], tmp_path / FOLDERS[name])
        return tmp_path

    return copied


@pytest.mark.parametrize("name", FOLDERS)
def test_verify_of_a_whole_tree_has_no_findings(little_tree: Path, name: str) -> None:
    report = verify(name, little_tree, workers=1)
    assert report.findings == []
    assert report.census == report.expected
    manifest = json.loads((little_tree / FOLDERS[name] / "synthetic.json").read_text())
    assert report.images == manifest["images"]


@pytest.mark.parametrize("name", FOLDERS)
def test_verify_without_a_manifest_expects_the_published_counts(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    (root / FOLDERS[name] / "synthetic.json").unlink()
    report = verify(name, root, workers=1)
    assert report.source == "the published counts"
    assert report.findings
    for finding in report.findings:
        key, field, expected = re.match(r"(.+): \d+ (\w+), expected (\d+)", finding.problem).groups()
        assert PUBLISHED[name][key][field] == int(expected)
        assert Path(finding.file).exists()


def test_published_counts_add_up() -> None:
    """Sums that the specification states beside the parts."""
    sysu = PUBLISHED["SYSUMM01"]
    for subset in ("train", "val", "test"):
        for modality in ("visible", "infrared"):
            cameras = [count["images"] for key, count in sysu.items() if key.startswith(f"{subset} {modality} camera")]
            assert sum(cameras) == sysu[f"{subset} {modality}"]["images"]
    assert sysu["train visible"]["images"] + sysu["val visible"]["images"] == 22_258
    assert sysu["train infrared"]["images"] + sysu["val infrared"]["images"] == 11_909


def truncate(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def empty(file: Path) -> Path:
    file.write_bytes(b"")
    return file


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def edit(file: Path, change: Callable[[str], str]) -> Path:
    file.write_text(change(file.read_text()))
    return file


def remove(file: Path) -> Path:
    file.unlink()
    return file


def remove_test_identity(folder: Path) -> Path:
    dataset = LLCM(root=str(folder))
    identity = dataset.test_ids[0]
    for camera in folder.glob(f"test_nir/cam*/{identity:04d}"):
        shutil.rmtree(camera)
    return folder / "idx" / "test_vis.txt"


def foreign_draws(folder: Path) -> Path:
    draws = np.empty((6, 1), dtype=object)
    for camera in range(6):
        draws[camera, 0] = np.empty((40, 1), dtype=object)
        for identity in range(40):
            draws[camera, 0][identity, 0] = np.ones((10, 3), dtype=np.uint8)
    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": draws})
    return folder / "exp" / "rand_perm_cam.mat"


def swap_first_label(text: str) -> str:
    return text.replace(" 0\n", " 1\n", 1)


# What is done to a tree; the finding that must name the file that it returns.
DAMAGE = {
    "a torn file": ("SYSUMM01", lambda f: truncate(first(f, "cam3/*/*.jpg")), "cannot be read"),
    "a gap": ("SYSUMM01", lambda f: remove(first(f, "cam1/*/0001.jpg")).parent, "has gaps: 0001.jpg is missing"),
    "a camera short of images": ("SYSUMM01", lambda f: remove(first(f, "cam6/*/0002.jpg")).parent.parent, "expected"),
    "foreign draws": ("SYSUMM01", foreign_draws, "rand_perm_cam.mat permutes 3"),
    "no draws": ("SYSUMM01", lambda f: remove(f / "exp" / "rand_perm_cam.mat"), "are missing"),
    "an identity without images": (
        "SYSUMM01",
        lambda f: edit(f / "exp" / "test_id.txt", lambda text: text + ",9999"),
        "identity 9999 has no image in any camera",
    ),
    "identities in two lists": (
        "SYSUMM01",
        lambda f: edit(f / "exp" / "test_id.txt", lambda text: text + "," + (f / "exp" / "val_id.txt").read_text()),
        "with val_id.txt",
    ),
    "a list that is none": ("RegDB", lambda f: edit(f / "idx" / "test_visible_7.txt", lambda _: "x"), "line 1 must be"),
    "a listed file that is not there": ("RegDB", lambda f: remove(first(f, "Thermal/*/*.bmp")), "does not exist"),
    "an empty file": ("RegDB", lambda f: empty(first(f, "Visible/*/*.bmp")), "cannot be read"),
    "another label": (
        "RegDB",
        lambda f: edit(f / "idx" / "train_visible_2.txt", swap_first_label),
        "other images of its folder",
    ),
    "a split that tests what it trains": (
        "RegDB",
        lambda f: (
            [shutil.copy(f / f"idx/train_{m}_3.txt", f / f"idx/test_{m}_3.txt") for m in ("visible", "thermal")]
            and f / "idx" / "test_visible_3.txt"
        ),
        "contains training identities of split 3",
    ),
    "an identity with fewer images": (
        "RegDB",
        lambda f: edit(f / "idx" / "test_thermal_9.txt", lambda text: text.split("\n", 1)[1]),
        "images, others have 2",
    ),
    "an identity without a modality": ("LLCM", remove_test_identity, "has no infrared image"),
    "a file in the wrong camera": (
        "LLCM",
        lambda f: shutil.move(
            path := first(f, "test_vis/cam*/*/*.jpg"), path.with_name(re.sub(r"_c\d\d_", "_c12_", path.name))
        ),
        "in the name does not match the folder",
    ),
    "a file in no list": (
        "LLCM",
        lambda f: shutil.copy(path := first(f, "test_nir/*/*/*"), path.with_name(path.name.replace("_f", "_f9"))),
        "is not in test_nir.txt",
    ),
    "a listed file in no folder": (
        "LLCM",
        lambda f: edit(f / "idx" / "test_vis.txt", lambda text: text + "vis/0001/0001_c01_s1_f1_vis.jpg 0\n"),
        "lists '0001_c01_s1_f1_vis.jpg', which is in no test folder",
    ),
    "a training list of the other modality": (
        "LLCM",
        lambda f: (
            edit(
                f / "idx" / "train_vis.txt",
                lambda text: text + (f / "idx" / "train_nir.txt").read_text().splitlines()[0] + "\n",
            )
            and f / (f / "idx" / "train_nir.txt").read_text().split(" ")[0]
        ),
        "in the name does not match the list and folder",
    ),
    "two labels of a training identity": (
        "LLCM",
        lambda f: edit(f / "idx" / "train_nir.txt", swap_first_label),
        "other images of its identity have",
    ),
    "no test list": ("LLCM", lambda f: remove(f / "idx" / "test_nir.txt"), "only the test folders are read"),
    "identities trained and tested": (
        "LLCM",
        lambda f: edit(
            f / "idx" / "test_id.txt",
            lambda text: text + "," + (f / "idx" / "train_vis.txt").read_text().split("/")[1],
        ),
        "contains training identities",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_verify_finds_every_damage_and_names_its_file(copy: Callable[[str], Path], case: str) -> None:
    name, damage, said = DAMAGE[case]
    root = copy(name)
    file = damage(root / FOLDERS[name])
    report = verify(name, root, workers=1)
    matching = [finding for finding in report.findings if said in finding.problem]
    assert matching, report.findings
    assert any(str(file) in str(finding) for finding in matching), (file, matching)


def test_verify_of_a_half_written_synthetic_tree_says_so(copy: Callable[[str], Path]) -> None:
    root = copy("RegDB")
    (root / "RegDB" / "synthetic.json").write_text('{"complete": false}')
    with pytest.raises(DataError, match="the tree is incomplete"):
        verify("RegDB", root, workers=1)


def broken_everywhere(name: str, folder: Path) -> dict[str, str]:
    """Break several files; returns what must be said of each."""
    torn = truncate(first(folder, "cam1/*/*.jpg" if name == "SYSUMM01" else "*is*/**/*.*p*"))
    said = {str(torn): "cannot be read"}
    if name == "SYSUMM01":
        empty(folder / "exp" / "rand_perm_cam.mat")
        edit(folder / "exp" / "val_id.txt", lambda text: text + "," + text.split(",")[0])
        return said | {"rand_perm_cam.mat": "it is empty", "val_id.txt": "more than once"}
    if name == "RegDB":
        edit(folder / "idx" / "train_visible_2.txt", lambda text: text + text.split("\n")[0] + "\n")
        empty(folder / "idx" / "test_thermal_3.txt")
        return said | {"train_visible_2.txt": "repeats line 1", "test_thermal_3.txt": "is empty"}
    edit(folder / "idx" / "train_nir.txt", lambda text: "nir/1/portrait.jpg 0\n" + text)
    shutil.copy(torn, first(folder, "test_nir/cam*/*") / "portrait.jpg")
    return said | {"train_nir.txt": "must have a name", "portrait.jpg": "must have a name"}


@pytest.mark.parametrize("name", FOLDERS)
def test_verify_of_several_broken_files_finds_each_and_counts_the_rest(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    whole = verify(name, root, workers=1)
    said = broken_everywhere(name, root / FOLDERS[name])
    report = verify(name, root, workers=1)
    for file, problem in said.items():
        assert [finding for finding in report.findings if file in str(finding) and problem in str(finding)], file
    assert report.images >= 0.6 * whole.images
    assert len(set(report.findings)) == len(report.findings)
