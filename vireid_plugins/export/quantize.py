"""Smaller ONNX files: half precision and int8, with onnxruntime's tools.

Activations and weights are both unsigned. Products of unsigned activations and signed weights saturate on processors
without VNNI, where features then are others than those that the file describes. With unsigned weights, an int8 file
gives the same features everywhere.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import ExportError
from vireid_plugins.extraction.onnx import onnx_runner
from vireid_plugins.extraction.optional import optional
from vireid_plugins.io.files import write_by_name

Images = npt.NDArray[np.float32]
# Least cosine between the features of an int8 file as it stands and as onnxruntime runs it.
LEAST_AGREEMENT = 0.95


def half_precision(source: Path, target: Path) -> None:
    """Write a copy of an ONNX file with float16 weights and arithmetic; inputs and outputs stay float32.

    Args:
        source: the ONNX file.
        target: the file to write.
    """
    onnx, float16 = optional("onnx"), optional("onnxruntime.transformers.float16")
    with write_by_name(target) as written:
        onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), written)


def int8(source: Path, target: Path, images: Images) -> float:
    """Write a copy of an ONNX file with int8 convolutions and matrix products, calibrated on images.

    The file is run as it stands and with the operators that onnxruntime fuses, whose arithmetic depends on the
    processor.

    Args:
        source: the ONNX file.
        target: the file to write.
        images: (n, 3, H, W) float32 training images of its modality.

    Returns:
        the least cosine between the two runs' features of an image.

    Raises:
        ExportError: that is less than LEAST_AGREEMENT; the file is removed.
    """
    quantization = optional("onnxruntime.quantization")
    with write_by_name(target) as written:
        prepared = written.with_suffix(".prepared.onnx")
        quantization.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(written),
            _reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QUInt8,
        )
        agreement = _agreement(written, images)
        if not agreement >= LEAST_AGREEMENT:
            raise ExportError(
                f"this processor computes '{target}' with other features than it describes: their cosine is "
                f"{agreement:.3f}, less than {LEAST_AGREEMENT}; use the float32 or float16 file"
            )
    return agreement


def _agreement(file: Path, images: Images, batch: int = 8) -> float:
    """Return the least cosine between the L2-normalized features of an ONNX file with and without optimization."""
    fused, plain = (
        np.concatenate([run(images[n : n + batch]) for n in range(0, len(images), batch)])
        for run in (onnx_runner(file), onnx_runner(file, optimized=False))
    )
    return float((fused * plain).sum(1).min())


def _reader(images: Images, batch: int = 8) -> Any:
    """Return a reader of calibration images for onnxruntime."""
    batches: Iterator[Images] = iter(images[n : n + batch] for n in range(0, len(images), batch))

    def get_next(reader: Any) -> dict[str, Images] | None:
        images = next(batches, None)
        return None if images is None else {"images": images}

    base = optional("onnxruntime.quantization").CalibrationDataReader
    return type("Reader", (base,), {"get_next": get_next})()
