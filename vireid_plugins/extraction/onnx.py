"""A method of one modality as an ONNX model, and onnxruntime to compute it."""

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vireid_plugins.errors import ExportError
from vireid_plugins.extraction.optional import optional
from vireid_plugins.io.files import refusal

OPSET = 18
TESTED = "torch 2.13"


def to_onnx(single: nn.Module, size: Iterable[int], file: Path | None = None) -> Any:
    """Return a network as an ONNX model, whose batch size is dynamic, and write it to `file` if one is given.

    Args:
        single: takes images (B, 3, H, W) float32 and returns features (B, D).
        size: H and W.
        file: where to write it.

    Raises:
        InstallError: onnx or onnxscript is missing.
        ExportError: the installed torch cannot export the network.
    """
    optional("onnx"), optional("onnxscript")
    with exporting():
        return torch.onnx.export(
            single,
            (sample_images(2, size),),
            None if file is None else str(file),
            input_names=["images"],
            output_names=["features"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def exporting() -> Iterator[None]:
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


def onnx_runner(file: Path | bytes, threads: int = 0, optimized: bool = True) -> Any:
    """Load an ONNX file as a function from images (B, 3, H, W) float32 to features (B, D), on the CPU.

    Args:
        file: the file, or its content.
        threads: number of threads; 0 for all cores.
        optimized: onnxruntime may fuse operators, as it does by default.
    """
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(
        file if isinstance(file, bytes) else str(file), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images})[0]


def sample_images(count: int, size: Iterable[int]) -> Tensor:
    """Return random images (B, 3, H, W) on the 0..255 scale, the same on every call."""
    height, width = size
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, height, width))
    return torch.from_numpy(pixels.astype(np.float32))
