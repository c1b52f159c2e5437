"""Export methods as ONNX files and `torch.export` programs, one per modality, checked against the method itself."""

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.errors import ExportError
from vireid_plugins.export.optional import optional
from vireid_plugins.export.single_modality import SingleModality
from vireid_plugins.io.files import make_folder, refusal, write_by_name, write_json

OPSET = 18
# Largest allowed difference between a feature of the file and of the method; features have unit length.
TOLERANCE = 1e-4
BATCHES = (1, 3)
TESTED = "torch 2.13"


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
        example = sample_images(2, cfg.INPUT.SIZE_TEST)
        with write_by_name(file) as written_file:
            with _exporting():
                torch.onnx.export(
                    single,
                    (example,),
                    str(written_file),
                    input_names=["images"],
                    output_names=["features"],
                    dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
                    opset_version=OPSET,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            difference = _within(largest_difference(single, onnx_runner(written_file), cfg.INPUT.SIZE_TEST), file)
        written.append(Exported(str(file), name, difference, file.stat().st_size))
    note = {
        "input": "images (batch, 3, height, width) float32, 0..255, RGB",
        "output": "features (batch, width), L2-normalised",
        "height": cfg.INPUT.SIZE_TEST[0],
        "width": cfg.INPUT.SIZE_TEST[1],
        "interpolation": cfg.INPUT.INTERPOLATION,
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
            with _exporting():
                program = torch.export.export(single, (example,), dynamic_shapes={"images": {0: batch}})
                torch.export.save(program, written_file)
            difference = _within(largest_difference(single, program_runner(written_file), cfg.INPUT.SIZE_TEST), file)
        written.append(Exported(str(file), name, difference, file.stat().st_size))
    return written


@contextmanager
def _exporting() -> Iterator[None]:
    """Silence the developer messages of torch's exporter, and report a failure in one line.

    Raises:
        ExportError: the installed torch cannot export the method; releases fail with different exceptions.
    """
    log = logging.getLogger("onnxscript")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    except Exception as error:
        if isinstance(error, OSError | RuntimeError) and refusal(error):
            # The file cannot be written, which is not the exporter's fault.
            raise
        # The first line, without ANSI colors.
        reason = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().partition("\n")[0]
        raise ExportError(
            f"torch {torch.__version__} cannot export this method ({type(error).__name__}: {reason}); "
            f"tested with {TESTED}"
        ) from error
    finally:
        log.setLevel(level)


def program_runner(file: Path) -> Any:
    """Load a `torch.export` program as a function from images (B, 3, H, W) float32 to features (B, D)."""
    loaded = torch.export.load(file).module()
    return lambda images: loaded(torch.from_numpy(images)).numpy()


def onnx_runner(file: Path, threads: int = 0, optimized: bool = True) -> Any:
    """Load an ONNX file as a function from images (B, 3, H, W) float32 to features (B, D), on the CPU.

    Args:
        file: the file.
        threads: number of threads; 0 for all cores.
        optimized: onnxruntime may fuse operators, as it does by default.
    """
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def sample_images(count: int, size: Iterable[int]) -> Tensor:
    """Return random images (B, 3, H, W) on the 0..255 scale, the same on every call."""
    height, width = size
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, height, width))
    return torch.from_numpy(pixels.astype(np.float32))


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
