"""Smaller ONNX files: half precision and int8, with onnxruntime's tools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid_plugins.export.optional import optional
from vireid_plugins.io.files import write_by_name

Images = npt.NDArray[np.float32]


def half_precision(source: Path, target: Path) -> None:
    """Write a copy of an ONNX file with float16 weights and arithmetic; inputs and outputs stay float32.

    Args:
        source: the ONNX file.
        target: the file to write.
    """
    onnx, float16 = optional("onnx"), optional("onnxruntime.transformers.float16")
    with write_by_name(target) as written:
        onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), written)


def int8(source: Path, target: Path, images: Images) -> None:
    """Write a copy of an ONNX file with int8 convolutions and matrix products, calibrated on images.

    Args:
        source: the ONNX file.
        target: the file to write.
        images: (n, 3, H, W) float32 training images of its modality.
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
            weight_type=quantization.QuantType.QInt8,
        )


def _reader(images: Images, batch: int = 8) -> Any:
    """Return a reader of calibration images for onnxruntime."""
    batches: Iterator[Images] = iter(images[n : n + batch] for n in range(0, len(images), batch))

    def get_next(reader: Any) -> dict[str, Images] | None:
        images = next(batches, None)
        return None if images is None else {"images": images}

    base = optional("onnxruntime.quantization").CalibrationDataReader
    return type("Reader", (base,), {"get_next": get_next})()
