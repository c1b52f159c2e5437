import itertools
import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from videos import numbered, turn, write_video

from vireid_plugins.detections.frames import open_frames
from vireid_plugins.errors import DataError, InstallError

PICTURES = numbered(6)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.mp4"])
def test_frames_of_a_video_with_dropped_frames_are_numbered_by_decoding(tmp_path: Path, name: str) -> None:
    times = [0, 1, 2, 5, 6, 19]  # tenths of a second: 3, 4 and 7 to 18 were dropped, the rate varies
    frames = list(open_frames(write_video(tmp_path / name, PICTURES, times), None))
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame.time for frame in frames] == pytest.approx([time / 10 for time in times])
    for frame, picture in zip(frames, PICTURES, strict=True):
        np.testing.assert_array_equal(frame.picture().values, picture)


def test_frames_of_a_video_that_begins_later_have_times_from_the_first(tmp_path: Path) -> None:
    frames = list(open_frames(write_video(tmp_path / "a.mkv", PICTURES[:2], [15, 17]), 0))
    assert [frame.number for frame in frames] == [0, 1]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2])


def shown(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    places = {(a * x + c * y, b * x + d * y): picture[y, x] for y, x in np.ndindex(picture.shape[:2])}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    result = np.zeros((max(y for _, y in places) - top + 1, max(x for x, _ in places) - left + 1, 3), np.uint8)
    for (x, y), value in places.items():
        result[y - top, x - left] = value
    return result


MATRICES = [
    (a, b, c, d)
    for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
    if abs(a * d - b * c) == 1 and a * b == 0 == c * d
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_frames_of_a_turned_or_mirrored_video_are_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """PyAV's decoder leaves them as they are stored; OpenCV turns them, and leaves mirrored ones mirrored."""
    (frame,) = open_frames(turn(write_video(tmp_path / "a.mp4", PICTURES[1:2]), matrix), None)
    np.testing.assert_array_equal(frame.picture().values, shown(PICTURES[1], *matrix))


def test_frames_of_a_phone_held_upright_are_turned_clockwise(tmp_path: Path) -> None:
    (frame,) = open_frames(turn(write_video(tmp_path / "a.mp4", PICTURES[1:2]), (0, 1, -1, 0)), None)
    np.testing.assert_array_equal(frame.picture().values, np.rot90(PICTURES[1], -1))


def test_frames_of_a_video_turned_by_another_angle_are_refused(tmp_path: Path) -> None:
    (frame,) = open_frames(turn(write_video(tmp_path / "a.mp4", PICTURES[:1]), (0.866, 0.5, -0.5, 0.866)), None)
    with pytest.raises(DataError, match=r"a\.mp4' is turned by an angle that is no multiple of 90 degrees"):
        frame.picture()


def test_frames_of_a_thermal_video_keep_16_bits(tmp_path: Path) -> None:
    counts = [np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 3 + 30000 + number for number in range(2)]
    frames = list(open_frames(write_video(tmp_path / "a.mkv", counts, kind="gray16le"), None))
    for frame, expected in zip(frames, counts, strict=True):
        values, full = frame.picture()
        np.testing.assert_array_equal(values, expected)
        assert (values.dtype, full) == (np.uint16, 65535)


def test_frames_of_a_damaged_video_stop_with_the_number_of_the_frame(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mkv", PICTURES)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\x55" * 200
    file.write_bytes(content)
    seen = []
    with pytest.raises(DataError, match=r"a\.mkv' cannot be decoded from frame (\d) on: Invalid data") as error:
        seen += [frame.number for frame in open_frames(file, None)]
    assert "from frame 1 on" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"ffconcat version 1.0\nfile other.mkv\n"])
def test_frames_of_no_video_are_an_error_and_open_no_other_file(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "other.mkv", PICTURES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.avi' cannot be decoded from frame 1 on: .* it must be a video"):
        list(open_frames(Path("a.avi"), None))


def test_frames_of_sound_alone_are_an_error(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(DataError, match=r"a\.wav' has no video stream"):
        list(open_frames(tmp_path / "a.wav", None))


def test_frames_of_a_pipe_are_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.avi")
    with pytest.raises(DataError, match=r"a\.avi' cannot be read: it is a pipe, not a regular file"):
        list(open_frames(tmp_path / "a.avi", None))


def test_frames_without_pyav_say_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.avi").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InstallError, match="videos need PyAV") as error:
        open_frames(tmp_path / "a.avi", None)
    assert str(error.value).endswith("    pip install av")


def test_open_frames_of_a_missing_file_says_what_there_may_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; it must be a video, a folder of images or a list"):
        open_frames(tmp_path / "a.avi", None)
