"""Compare the exported forms of a method: file size, speed, and scores on its test set."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from tabulate import tabulate
from torch import nn

from vireid_plugins.data import loader_of_test_set
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import build_dataset
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.decode import interpolation_of_tests, read_image
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.plan import EvaluationPlan, require_test_sets
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.export.quantize import half_precision, int8
from vireid_plugins.extraction.onnx import onnx_runner, sample_images
from vireid_plugins.extraction.single_modality import SingleModality

Images = npt.NDArray[np.float32]
Runner = Callable[[Images], npt.NDArray[np.float32]]
CALIBRATION, REPEATS, BATCH = 64, 5, 8


@dataclass(frozen=True)
class Form:
    """One way to run a method.

    Attributes:
        name: name in the table.
        bytes: size of the visible modality's file; 0 if there is none.
        runners: functions from images to features, by modality.
        agreement: least cosine between features of its file as it stands and as onnxruntime runs it; 1 if not measured.
    """

    name: str
    bytes: int
    runners: dict[int, Runner]
    agreement: float = 1.0


def forms(model: nn.Module, cfg: CfgNode, folder: Path) -> list[Form]:
    """Return the method itself and its ONNX files in float32, float16 and int8; the latter two are written to `folder`.

    int8 is calibrated on CALIBRATION training images of each modality.

    Args:
        model: a trained method on the CPU.
        cfg: its configuration, whose training set provides the images for int8.
        folder: folder with the files of `export_onnx`.

    Raises:
        InstallError: onnx or onnxruntime is missing.
        DataError: the training set is missing.
        ExportError: this processor computes the int8 file otherwise than it says.
    """
    flip = bool(cfg.TEST.FLIP.ENABLED)
    single = {modality: SingleModality(model, modality, flip) for modality in MODALITIES}
    exported = [Form("torch, float32", 0, {m: _torch_runner(method) for m, method in single.items()})]
    calibration = training_images(cfg, CALIBRATION)
    makers: dict[str, Callable[[Path, Path, int], float | None]] = {
        "float16": lambda source, target, modality: half_precision(source, target),
        "int8": lambda source, target, modality: int8(source, target, calibration[modality]),
    }
    files = {modality: folder / f"{name}.onnx" for modality, name in MODALITIES.items()}
    exported.append(_onnx_form("ONNX, float32", files))
    for precision, make in makers.items():
        targets = {modality: file.with_name(f"{file.stem}.{precision}.onnx") for modality, file in files.items()}
        agreements = [make(files[modality], target, modality) for modality, target in targets.items()]
        measured = min((one for one in agreements if one is not None), default=1.0)
        exported.append(_onnx_form(f"ONNX, {precision}", targets, measured))
    return exported


def compare(found: Sequence[Form], cfg: CfgNode) -> list[dict[str, Any]]:
    """Return the size, the images per second, and rank-1 and mAP under the first protocol, of every form.

    `cosine` and `least_cosine` are the mean and the least cosine between its features of a test image and the first
    form's.

    Args:
        found: the result of `forms`.
        cfg: configuration whose first test set is scored.
    """
    rows = []
    reference: npt.NDArray[np.float32] | None = None
    for form in found:
        features, scores = _scores(form, cfg)
        reference = features if reference is None else reference
        cosines = (reference * features).sum(1)
        scores |= {"cosine": float(cosines.mean()), "least_cosine": float(cosines.min()), "agreement": form.agreement}
        seconds = _seconds(form.runners[VISIBLE], cfg)
        rows.append(
            {"form": form.name, "bytes": form.bytes, "images_per_second": BATCH / seconds, **scores, "batch": BATCH}
        )
    return rows


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of `compare` as a Markdown table."""
    body = [
        [
            row["form"],
            f"{row['bytes'] / 2**20:.1f}" if row["bytes"] else "",
            f"{row['images_per_second']:.1f}",
            f"{row['Rank-1']:.2f}",
            f"{row['mAP']:.2f}",
            f"{row['cosine']:.4f} ({row['least_cosine']:.4f})",
        ]
        for row in rows
    ]
    headers = ["form", "MiB", "images per second", "Rank-1", "mAP", "cosine (least)"]
    return tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True)


def training_images(cfg: CfgNode, count: int) -> dict[int, Images]:
    """Return some training images (n, 3, H, W) of each modality, spread evenly over the training set."""
    dataset: Any = build_dataset(cfg, cfg.DATASETS.NAMES[0])
    images_of = {}
    how = (cfg.INPUT.SIZE_TEST, interpolation_of_tests(cfg), stretch_of(cfg))
    for modality in (VISIBLE, INFRARED):
        items = [item for item in dataset.train if dataset.modality(item) == modality]
        selected = [items[n] for n in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]
        images = [read_image(path, *how) for path, _, _ in selected]
        images_of[modality] = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    return images_of


def _torch_runner(single: nn.Module) -> Runner:
    def run(images: Images) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            features: npt.NDArray[np.float32] = single(torch.from_numpy(images)).numpy()
        return features

    return run


def _onnx_form(name: str, files: dict[int, Path], agreement: float = 1.0) -> Form:
    threads = torch.get_num_threads()
    runners = {modality: onnx_runner(file, threads) for modality, file in files.items()}
    return Form(name, files[VISIBLE].stat().st_size, runners, agreement)


def _scores(form: Form, cfg: CfgNode) -> tuple[npt.NDArray[np.float32], dict[str, float]]:
    """Return a form's features (n, D) of the test images, and its scores."""
    name = require_test_sets(cfg)[0]
    dataset: Any = build_dataset(cfg, name)
    plan = EvaluationPlan(dataset, protocols_of(name, cfg.TEST.PROTOCOLS)[:1])
    features, paths = [], []
    for batch in loader_of_test_set(cfg, dataset):
        images = batch["images"].numpy().astype(np.float32)
        rows: list[Any] = [None] * len(images)
        for modality in MODALITIES:
            selected = np.flatnonzero(batch["modalities"].numpy() == modality)
            if len(selected):
                run = form.runners[modality]
                for row, feature in zip(selected, run(np.ascontiguousarray(images[selected])), strict=True):
                    rows[row] = feature
        features += rows
        paths += [Path(path).relative_to(dataset.folder).as_posix() for path in batch["img_paths"]]
    rows_of_features = np.stack(features).astype(np.float32)
    means = score(rows_of_features, paths, plan)[0].means
    return rows_of_features, {name: means[name] for name in ("Rank-1", "mAP")}


def _seconds(run: Runner, cfg: CfgNode) -> float:
    images = sample_images(BATCH, cfg.INPUT.SIZE_TEST).numpy()
    run(images)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
