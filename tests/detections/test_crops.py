import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import HANG, ROOT
from PIL import Image
from videos import numbered, write_video

from vireid_plugins.detections import Settings, crop, read_crops
from vireid_plugins.errors import DataError
from vireid_plugins.search.metadata import Metadata

PICTURES = numbered(5)


def boxes(folder: Path, *lines: str, name: str = "boxes.txt") -> Path:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / name


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mkv", PICTURES, [0, 1, 4, 5, 6])


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_crop_of_a_video_has_pixels_time_camera_and_track(tmp_path: Path, video: Path) -> None:
    file = boxes(tmp_path, "3,7,4.5,6.5,5,9,0.9,-1,-1,-1", "1,-1,-3,0,10,4,0.8", "3,8,40,0,5,9,1", "2,8,1,1,0,9,1")
    done = crop(video, file, tmp_path / "out", Settings(camera="north"))
    first, second = read_crops(tmp_path / "out")
    assert done.crops == [first, second]
    assert (first.frame, first.time, first.track, first.camera) == (1, 0.0, "", "north")
    assert (second.frame, second.time, second.track, second.source) == (3, 0.4, "street_7", str(video))
    assert (second.left, second.top, second.width, second.height, second.confidence) == (4.5, 6.5, 5, 9, 0.9)
    assert 0 < second.quality < 1
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / first.file)), PICTURES[0][0:4, 0:7])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / second.file)), PICTURES[2][6:15, 4:9])
    assert done.left_out == {"outside the image or without an area": 2}
    assert done.frames == 3  # the rest of the video is not decoded
    assert set(content(tmp_path / "out")) == {"crops.csv", first.file, second.file}


def test_crop_with_a_start_has_times_since_1970(tmp_path: Path, video: Path) -> None:
    done = crop(video, boxes(tmp_path, "3,1,0,0,5,9"), tmp_path / "out", Settings(start=1717156800))
    assert [one.time for one in done.crops] == [1717156800.4]


def test_crop_counts_frames_from_the_first_number(tmp_path: Path, video: Path) -> None:
    file = boxes(tmp_path, "0,1,0,0,5,9", "4,1,0,0,5,9")
    done = crop(video, file, tmp_path / "out", Settings(first_frame=0))
    values = [np.asarray(Image.open(tmp_path / "out" / one.file))[0, 0, 0] for one in done.crops]
    assert [(one.frame, one.time) for one in done.crops] == [(0, 0.0), (4, 0.6)]
    assert values == [0, 40]
    message = r"'.*boxes\.txt:1' names frame 0, and the first frame has number 1; .* --first-frame 0"
    with pytest.raises(DataError, match=message):
        crop(video, file, tmp_path / "out")
    with pytest.raises(DataError, match=message):
        crop(video, file, tmp_path / "out", Settings(first_frame=1))


@pytest.mark.parametrize(("first", "last"), [(None, 5), (0, 4)])
def test_crop_of_frames_beyond_the_end_is_an_error_and_writes_nothing(
    tmp_path: Path, video: Path, first: int | None, last: int
) -> None:
    file = boxes(tmp_path, "2,1,0,0,5,9", f"{last + 1},1,0,0,5,9")
    low = last - 4
    message = (
        rf"boxes\.txt:2' names frame {last + 1}, which '.*street\.mkv' does not have: it has 5 frames, {low} to {last}"
    )
    with pytest.raises(DataError, match=message) as error:
        crop(video, file, tmp_path / "out", Settings(first_frame=first))
    assert ("--first-frame 1" in str(error.value)) == (first == 0)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_crop_of_images_by_number_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (3, 4):
        Image.fromarray(PICTURES[number]).save(tmp_path / "in" / f"{number:06d}.png")
    one = crop(tmp_path / "in", boxes(tmp_path, "4,1,0,0,5,9"), tmp_path / "a")
    other = crop(
        tmp_path / "in",
        boxes(tmp_path, "image,left,top,right,bottom", "./000004.png,0,0,5,9", name="b.csv"),
        tmp_path / "b",
    )
    for done, folder in ((one, "a"), (other, "b")):
        (found,) = done.crops
        assert (found.frame, found.time, found.source) == (4, None, str(tmp_path / "in" / "000004.png"))
        assert np.asarray(Image.open(tmp_path / folder / found.file))[0, 0, 0] == 40
    with pytest.raises(DataError, match=r"b\.csv:2' names the image '9\.png', which is not in"):
        crop(
            tmp_path / "in",
            boxes(tmp_path, "image,left,top,right,bottom", "9.png,0,0,5,9", name="b.csv"),
            tmp_path / "c",
        )
    with pytest.raises(DataError, match=r"boxes\.txt:1' names frame 5, which .* 2 frames, 3 to 4"):
        crop(tmp_path / "in", boxes(tmp_path, "5,1,0,0,5,9"), tmp_path / "c")


def coco(folder: Path, **image: object) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.png", **image}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 9]}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder / "boxes.json"


def test_crop_of_a_video_takes_the_frames_of_coco_and_no_names(tmp_path: Path, video: Path) -> None:
    (found,) = crop(video, coco(tmp_path, frame_id=2), tmp_path / "out").crops
    assert found.frame == 2
    with pytest.raises(DataError, match=r"names the image 'a\.png' and no frame; '.*street\.mkv' is a video"):
        crop(video, coco(tmp_path), tmp_path / "out")


def test_crop_of_a_turned_image_with_boxes_of_the_stored_one_is_an_error(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png", exif=exif)
    assert crop(tmp_path / "a.png", coco(tmp_path, width=24, height=32), tmp_path / "out").crops
    with pytest.raises(DataError, match=r"says that 'a\.png' has 32 x 24 pixels; upright.* has 24 x 32"):
        crop(tmp_path / "a.png", coco(tmp_path, width=32, height=24), tmp_path / "out")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_crop_of_counts_that_are_not_finite_names_the_image_and_the_box(tmp_path: Path, value: float) -> None:
    counts = np.arange(24 * 32, dtype=np.float32).reshape(24, 32)
    counts[3, 2] = value
    Image.fromarray(counts).save(tmp_path / "a.tif")
    assert crop(tmp_path / "a.tif", boxes(tmp_path, "1,1,5,5,5,9"), tmp_path / "out").crops
    message = r"a\.tif' cannot be used in the box of '.*boxes\.txt:2': it holds values that are not finite"
    with pytest.raises(DataError, match=message):
        crop(tmp_path / "a.tif", boxes(tmp_path, "1,1,5,5,5,9", "1,2,0,0,5,9"), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_crop_of_a_video_without_a_frame_says_so(tmp_path: Path) -> None:
    file = boxes(tmp_path, "1,1,0,0,5,9")
    message = r"boxes\.txt:1' names frame 1, and '.*a\.avi' has no frame that can be decoded"
    with pytest.raises(DataError, match=message):
        crop(write_video(tmp_path / "a.avi", PICTURES[:0], shape=(24, 32)), file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_crop_refuses_a_folder_inside_its_source(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(PICTURES[0]).save(tmp_path / "in" / "1.png")
    for folder in (tmp_path / "in", tmp_path / "in" / "crops"):
        with pytest.raises(DataError, match=r"is inside '.*in', whose images are cropped; choose a folder beside it"):
            crop(tmp_path / "in", boxes(tmp_path, "1,1,0,0,5,9"), folder)


def test_crop_of_a_video_whose_name_is_no_text_lists_its_crops_in_utf8(tmp_path: Path, video: Path) -> None:
    odd = video.rename(tmp_path / os.fsdecode(b"str\xff.mkv"))
    crop(odd, boxes(tmp_path, "1,7,0,0,5,9"), tmp_path / "out", Settings(camera=os.fsdecode(b"n\xff")))
    (one,) = read_crops(tmp_path / "out")
    assert (one.track, one.camera, one.source) == (r"str\udcff_7", r"n\udcff", str(tmp_path / r"str\udcff.mkv"))
    assert (tmp_path / "out" / one.file).is_file()
    assert Metadata.read(tmp_path / "out" / "crops.csv")


def test_crop_of_no_boxes_writes_an_empty_list(tmp_path: Path, video: Path) -> None:
    assert crop(video, boxes(tmp_path), tmp_path / "out").crops == []
    assert read_crops(tmp_path / "out") == []


def test_crop_again_gives_equal_files_and_removes_what_is_no_longer_listed(tmp_path: Path, video: Path) -> None:
    crop(video, boxes(tmp_path, "1,1,0,0,5,9", "2,1,0,0,5,9"), tmp_path / "out")
    before = content(tmp_path / "out")
    crop(video, boxes(tmp_path, "1,1,0,0,5,9", "2,1,0,0,5,9"), tmp_path / "out")
    assert content(tmp_path / "out") == before
    crop(video, boxes(tmp_path, "1,1,0,0,5,9"), tmp_path / "out")
    assert len(content(tmp_path / "out")) == 2


def test_crop_refuses_a_folder_that_holds_something_else(tmp_path: Path, video: Path) -> None:
    file, out = boxes(tmp_path, "1,1,0,0,5,9"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="exists and is no folder of crops; refusing to overwrite it"):
        crop(video, file, out)
    (out / "thesis.txt").unlink()
    crop(video, file, out)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"contains 'thesis\.txt', which 'crops\.csv' does not list; refusing"):
        crop(video, file, out)
    with pytest.raises(DataError, match="exists and is no folder"):
        crop(video, file, out / "thesis.txt")
    assert (out / "thesis.txt").read_text() == "mine"


KILLED = """
import os, signal, sys
from pathlib import Path
from vireid_plugins.detections import crop
def stop(frames):
    if frames == 2:
        os.kill(os.getpid(), signal.SIGKILL)
crop(*map(Path, sys.argv[1:]), report=stop)
"""


@pytest.mark.parametrize("former", [False, True])
def test_crop_killed_leaves_the_former_folder_and_the_next_run_completes(
    tmp_path: Path, video: Path, former: bool
) -> None:
    out = tmp_path / "out"
    if former:
        crop(video, boxes(tmp_path, "1,1,0,0,5,9"), out)
    before = content(out) if former else None
    file = boxes(tmp_path, "1,1,0,0,5,9", "2,1,0,0,5,9", "3,1,0,0,5,9")
    words = [sys.executable, "-c", KILLED, str(video), str(file), str(out)]
    ran = subprocess.run(words, cwd=ROOT, timeout=HANG, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert (content(out) if out.exists() else None) == before
    crop(video, file, out)
    assert len(content(out)) == 4
    assert not list(tmp_path.glob("*.partial"))
