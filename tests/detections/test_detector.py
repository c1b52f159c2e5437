"""Boxes of a detector: a stub for what is done with them, and a real Faster R-CNN with weights from a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from videos import numbered, write_video

from vireid_plugins.detections import Settings, crop
from vireid_plugins.detections.detector import detect, load_detector
from vireid_plugins.detections.frames import open_frames
from vireid_plugins.errors import ConfigError, DataError, InstallError

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"


class Stub:
    """Finds two people and a car in every image, and keeps the images."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        self.seen += images
        boxes = torch.tensor([[1.0, 2, 6, 11], [4, 4, 20, 20], [0, 0, 9, 9]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 1, 3]), "scores": torch.tensor([0.75, 0.25, 1.0])}]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mkv", numbered(4))


def test_detect_gives_boxes_of_people_by_frame(tmp_path: Path, video: Path) -> None:
    stub = Stub()
    found = detect(open_frames(video, 0), stub, every=2)
    assert [(box.frame, box.left, box.top, box.width, box.height, box.confidence) for box in found.boxes] == [
        *((0, 1, 2, 5, 9, 0.75), (2, 1, 2, 5, 9, 0.75))
    ]
    assert found.left_out == {"below confidence 0.5": 2}
    np.testing.assert_allclose(stub.seen[1].numpy(), numbered(4)[2].transpose(2, 0, 1) / 255, rtol=1e-6)
    done = crop(video, found, tmp_path / "out", Settings(first_frame=0))
    assert [(one.frame, one.confidence, one.track) for one in done.crops] == [(0, 0.75, ""), (2, 0.75, "")]


def test_detect_of_thermal_frames_sees_three_equal_channels(tmp_path: Path) -> None:
    stub = Stub()
    counts = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) + 7000
    detect(open_frames(write_video(tmp_path / "a.mkv", [counts], kind="gray16le"), None), stub)
    (image,) = stub.seen
    assert image.shape == (3, 24, 32)
    assert torch.equal(image[0], image[2])
    assert (image.min(), image.max()) == (0, 1)


def loop_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Stands in for the compiled operator, which torchvision of PyPI lacks beside a torch for the CPU."""
    kept: list[int] = []
    overlaps = torchvision.ops.box_iou(boxes, boxes)
    for one in scores.argsort(descending=True).tolist():
        if all(overlaps[one, other] <= threshold for other in kept):
            kept.append(one)
    return torch.tensor(kept, dtype=torch.long)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that takes everything for a person; as in torchvision's files without counts of batches."""
    torch.manual_seed(0)
    network = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    network.roi_heads.box_predictor.cls_score.bias.data[1] = 20
    tensors = {key: value for key, value in network.state_dict().items() if "num_batches_tracked" not in key}
    file = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(tensors, file)
    return file


def test_detect_with_a_faster_r_cnn_from_a_file(weights: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.ops.boxes, "nms", loop_nms)
    detector = load_detector(NAME, weights)
    detector.rpn._pre_nms_top_n = {"training": 20, "testing": 20}
    # Without its own operators torchvision compiles its replacement of RoI alignment, which takes 20 s.
    with torch.compiler.set_stance("force_eager"):
        found = detect(open_frames(video, None), detector, every=4)
    assert {box.frame for box in found.boxes} == {1}
    for box in found.boxes:
        assert 0.5 <= box.confidence <= 1
        assert box.left >= 0
        assert box.left + box.width <= 32.001
        assert box.top + box.height <= 24.001


def test_detect_without_compiled_operators_says_what_to_install(video: Path) -> None:
    def broken(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        raise RuntimeError("Couldn't load custom C++ ops. This can happen if your PyTorch and torchvision ...")

    with pytest.raises(InstallError, match="torchvision's compiled operators do not load") as error:
        detect(open_frames(video, None), broken)
    assert "pip install --force-reinstall torch==" in str(error.value)


def test_load_detector_of_other_weights_or_names_says_so(weights: Path) -> None:
    with pytest.raises(ConfigError, match="--detector: unknown value 'yolo'; available: fasterrcnn_mobilenet"):
        load_detector("yolo", weights)
    with pytest.raises(DataError, match=r"detector\.pth' is no file of fasterrcnn_resnet50_fpn: .* tensors differ"):
        load_detector("fasterrcnn_resnet50_fpn", weights)
