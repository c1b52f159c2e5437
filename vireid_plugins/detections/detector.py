"""Find people with a Faster R-CNN of torchvision, whose weights are a file: nothing is downloaded.

Source: Ren et al., "Faster R-CNN", NeurIPS 2015, as in https://pytorch.org/vision/stable/models/faster_rcnn.html. The
files are those that torchvision's documentation links, or what was trained from them with the same 91 categories.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vireid_plugins.data.thermal import DEFAULT, to_eight_bits
from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.frames import Frames, Picture
from vireid_plugins.errors import DataError, InstallError, require_name
from vireid_plugins.io.weight_file import named_tensors, read_weight_file

DETECTORS = (
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"),
    *("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"),
)
# COCO's number of people.
PERSON = 1
# Below this, most boxes of these detectors are no people; our choice.
LEAST_CONFIDENCE = 0.5


def load_detector(name: str, weights: Path, device: str = "cpu") -> nn.Module:
    """Return a detector of torchvision, ready to detect.

    Args:
        name: one of `DETECTORS`.
        weights: file of its state dict.
        device: cpu or cuda.

    Raises:
        ConfigError: the name is unknown.
        DataError: the file cannot be read or is of another network.
    """
    require_name("--detector", name, DETECTORS)
    tensors = named_tensors(read_weight_file(weights))
    models = importlib.import_module("torchvision.models.detection")
    network: nn.Module = getattr(models, name)(weights=None, weights_backbone=None)
    if name == "fasterrcnn_resnet50_fpn":
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0  # as torchvision sets it for its own weights
    own = network.state_dict()
    # Files of torchvision have frozen layers, which count no batches.
    tensors = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")} | tensors
    shapes, given = ({key: value.shape for key, value in one.items()} for one in (own, tensors))
    wrong = {key for key, _ in shapes.items() ^ given.items()}
    if wrong:
        raise DataError(
            f"'{weights}' is no file of {name}: {len(wrong)} tensors differ in name or shape, such as '{min(wrong)}'"
        )
    network.load_state_dict(tensors)
    return network.to(device).eval()


def detect(
    frames: Frames,
    detector: Callable[[list[Tensor]], list[dict[str, Tensor]]],
    least_confidence: float = LEAST_CONFIDENCE,
    every: int = 1,
    device: str = "cpu",
    report: Callable[[int], object] = lambda frames: None,
) -> Boxes:
    """Return the people in frames, as boxes without tracks.

    Args:
        frames: the frames.
        detector: takes images (3, H, W) of floats 0..1 and returns boxes (n, 4) as corners, labels (n,) and scores (n,)
            of each, as detectors of torchvision do.
        least_confidence: boxes with a lower score are left out.
        every: look at the first frame and then at every so many.
        device: where the detector is.
        report: called with the number of frames so far, after each.

    Raises:
        DataError: a frame cannot be decoded.
        InstallError: torchvision does not match torch, so that its compiled operators are missing.
    """
    result = Boxes(frames.path)
    for count, frame in enumerate(frames):
        if count % every == 0:
            found = _found(detector, _image(frame.picture()).to(device))
            origin = f"{frame.file}: frame {frame.number}"
            for (left, top, right, bottom), score in found:
                if score >= least_confidence:
                    box = (left, top, right - left, bottom - top)
                    result.boxes.append(Box(origin, *box, frame=frame.number, confidence=score))
                else:
                    result.left_out[f"below confidence {least_confidence:g}"] += 1
        report(count + 1)
    return result


def _found(detector: Callable[[list[Tensor]], list[dict[str, Tensor]]], image: Tensor) -> list[tuple[Any, float]]:
    """Return corners and score of each person in an image."""
    try:
        with torch.inference_mode():
            (found,) = detector([image])
    except RuntimeError as error:
        if "custom C++ ops" not in str(error) and "torchvision::nms" not in str(error):
            raise
        raise InstallError(
            f"torchvision's compiled operators do not load with torch {torch.__version__}, and detectors need them. "
            "Install a matching pair, such as the tested one, both from PyPI or both for the CPU:",
            "    pip install --force-reinstall torch==2.13.0 torchvision==0.28.0",
        ) from None
    people = found["labels"] == PERSON
    return list(zip(found["boxes"][people].tolist(), found["scores"][people].tolist(), strict=True))


def _image(picture: Picture) -> Tensor:
    """Return an image (3, H, W) of floats 0..1."""
    values = picture.values
    if values.dtype != np.uint8:
        values = to_eight_bits(values, picture.full, DEFAULT)
    if values.ndim == 2:
        values = values[..., None].repeat(3, -1)
    return torch.from_numpy(values).permute(2, 0, 1) / 255
