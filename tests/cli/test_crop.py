from pathlib import Path

import pytest
import torch
from helpers import vireid
from videos import numbered, write_video

from vireid_plugins.cli.main import command_parser, parsed
from vireid_plugins.detections import detector, read_crops


def test_crop_of_a_video_says_what_became_of_the_boxes(tmp_path: Path) -> None:
    video = write_video(tmp_path / "street.mkv", numbered(4))
    lines = ["0,1,0,0,5,9,0.9", "1,1,0,0,5,9,0.9", "2,1,0,0,5,9,0.1", "3,1,0,0,5,9,0.9", "3,2,90,0,5,9,0.9"]
    (tmp_path / "boxes.txt").write_text("\n".join(lines))
    common = ["crop", str(video), "--boxes", str(tmp_path / "boxes.txt"), "--output", str(tmp_path / "out")]
    options = ["--camera", "north", "--least-confidence", "0.5", "--every", "2", "--start-time", "2024-05-31T12:00Z"]
    ran = vireid(*common, *options, "--first-frame", "0")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[:4] == [
        "boxes left out: 1 below confidence 0.5",
        "boxes left out: 1 between every 2 frames",
        "boxes left out: 1 outside the image or without an area",
        "crops: 2, tracks: 1, decoded frames: 4",
    ]
    assert [(one.frame, one.time, one.camera) for one in read_crops(tmp_path / "out")] == [
        *((0, 1717156800.0, "north"), (3, 1717156800.3, "north"))
    ]
    wrong = vireid(*common)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: '")
    assert "--first-frame 0" in wrong.stderr


def test_crop_with_a_detector_writes_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stub(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        boxes, scores = torch.tensor([[1.0, 2, 6, 11], [4, 4, 20, 20]]), torch.tensor([0.75, 0.25])
        return [{"boxes": boxes, "labels": torch.tensor([1, 1]), "scores": scores}]

    monkeypatch.setattr(detector, "load_detector", lambda *given: stub)
    video = write_video(tmp_path / "street.mkv", numbered(4))
    words = ["crop", str(video), "--detector", "x", "--weights", "x.pth", "--output", str(tmp_path / "out")]
    args = parsed(command_parser(), [*words, "--every", "3"])
    args.main(args)
    assert [(one.frame, one.confidence) for one in read_crops(tmp_path / "out")] == [(1, 0.75), (4, 0.75)]
    assert "boxes left out: 2 below confidence 0.5\n" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--boxes", "a", "--detector", "b", "--weights", "c"], ["--detector", "b"]])
def test_crop_needs_boxes_or_a_detector(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = parsed(command_parser(), ["crop", "a.mkv", "--output", "out", *words])
    with pytest.raises(SystemExit):
        args.main(args)
    assert "needs --boxes FILE, or --detector NAME with --weights FILE" in capsys.readouterr().err
