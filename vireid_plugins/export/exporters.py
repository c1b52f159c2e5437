"""Export methods as ONNX files and `torch.export` programs, one per modality, checked against the method itself."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from torch import nn

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.decode import interpolation_of_tests
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.errors import ExportError
from vireid_plugins.extraction.onnx import exporting, onnx_runner, sample_images, to_onnx
from vireid_plugins.extraction.optional import optional
from vireid_plugins.extraction.single_modality import SingleModality
from vireid_plugins.io.files import make_folder, write_by_name, write_json

# Largest allowed difference between a feature of the file and of the method; features have unit length.
TOLERANCE = 1e-4
BATCHES = (1, 3)


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        file: its path.
        modality: `visible` or `infrared`.
        difference: largest difference of a feature from the method's, over batches of BATCHES images.
        bytes: its size.
    """

    file: str
    modality: str
    difference: float
    bytes: int


def export_onnx(model: nn.Module, cfg: CfgNode, folder: Path) -> list[Exported]:
    """Write `visible.onnx`, `infrared.onnx` and `model.json`, and compare them with the method.

    Each takes `images` (batch, 3, H, W) float32, RGB on the 0..255 scale, and returns L2-normalized `features`
    (batch, D). The batch size is dynamic, the image size is `INPUT.SIZE_TEST`.

    Args:
        model: a trained method on the CPU.
        cfg: its configuration.
        folder: output folder.

    Raises:
        InstallError: onnx, onnxruntime or onnxscript is missing.
        ExportError: a file's features differ from the method's by more than TOLERANCE.
    """
    optional("onnx"), optional("onnxscript")
    make_folder(folder, "the export")
    written = []
    for modality, name in MODALITIES.items():
        single = SingleModality(model, modality, bool(cfg.TEST.FLIP.ENABLED)).eval()
        file = folder / f"{name}.onnx"
        with write_by_name(file) as written_file:
            to_onnx(single, cfg.INPUT.SIZE_TEST, written_file)
            difference = _within(largest_difference(single, onnx_runner(written_file), cfg.INPUT.SIZE_TEST), file)
        written.append(Exported(str(file), name, difference, file.stat().st_size))
    note = {
        "input": "images (batch, 3, height, width) float32, 0..255, RGB",
        "output": "features (batch, width), L2-normalised",
        "height": cfg.INPUT.SIZE_TEST[0],
        "width": cfg.INPUT.SIZE_TEST[1],
        "interpolation": interpolation_of_tests(cfg),
        "thermal": stretch_of(cfg)._asdict(),
        "method": cfg.MODEL.META_ARCHITECTURE,
        "files": [asdict(exported) for exported in written],
    }
    write_json(folder / "model.json", note)
    return written


def export_program(model: nn.Module, cfg: CfgNode, folder: Path) -> list[Exported]:
    """Write `visible.pt2` and `infrared.pt2` with `torch.export`, and compare them with the method.

    Args:
        model: a trained method on the CPU.
        cfg: its configuration.
        folder: output folder.

    Raises:
        ExportError: a program's features differ from the method's by more than TOLERANCE.
    """
    make_folder(folder, "the export")
    written = []
    for modality, name in MODALITIES.items():
        single = SingleModality(model, modality, bool(cfg.TEST.FLIP.ENABLED)).eval()
        batch = torch.export.Dim("batch", min=1, max=4096)
        example = sample_images(2, cfg.INPUT.SIZE_TEST)
        file = folder / f"{name}.pt2"
        with write_by_name(file) as written_file:
            with exporting():
                program = torch.export.export(single, (example,), dynamic_shapes={"images": {0: batch}})
                torch.export.save(program, written_file)
            difference = _within(largest_difference(single, program_runner(written_file), cfg.INPUT.SIZE_TEST), file)
        written.append(Exported(str(file), name, difference, file.stat().st_size))
    return written


def program_runner(file: Path) -> Any:
    """Load a `torch.export` program as a function from images (B, 3, H, W) float32 to features (B, D)."""
    loaded = torch.export.load(file).module()
    return lambda images: loaded(torch.from_numpy(images)).numpy()


def largest_difference(single: nn.Module, run: Any, size: Iterable[int]) -> float:
    """Return the largest difference between the features of a method and of its exported form `run`."""
    size = list(size)
    differences = []
    for count in BATCHES:
        images = sample_images(count, size)
        with torch.inference_mode():
            expected: npt.NDArray[np.float32] = single(images).numpy()
        differences.append(float(np.abs(run(images.numpy()) - expected).max()))
    return max(differences)


def _within(difference: float, file: Path) -> float:
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the features of '{file}' differ from the method's by {difference:.2g}, more than {TOLERANCE:g}; do not "
            "use it"
        )
    return difference
