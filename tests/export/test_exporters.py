"""Exported methods compute what the methods compute."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, SMALL, SMALL_METHODS, batch, needs_exporter, python, small_cfg, views_of

from vireid_plugins import export
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import ConfigError, ExportError
from vireid_plugins.export import exporters, quantize
from vireid_plugins.extraction.optional import optional

# Its stems differ between the modalities, and its relation blocks are traced too.
ONNX_METHOD = "agw"
MIRRORED = ("TEST.FLIP.ENABLED", "True")
OTHERS = ("one_stream", "deen", "wrim", "idkl", "mscm", "icre", "pmt", "rle", "mpanet", "saai")
WHOLE = batch(4, 2)


def trained_like(config: str, *overrides: str) -> tuple[torch.nn.Module, Any]:
    """A network whose batch statistics and stems are not those of its beginning."""
    torch.manual_seed(0)
    cfg = small_cfg(f"SYSU/{config}.yml", "MODEL.HEADS.NUM_CLASSES", "4", *overrides)
    model = build_model(cfg).train()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter) * parameter.abs().mean()
    model(batch(4, 2, views=views_of(cfg)))
    return model.eval(), cfg


def features_of(model: torch.nn.Module, cfg: Any) -> np.ndarray:
    """The method's own features of WHOLE, with its own routing of a mixed batch."""
    with torch.inference_mode():
        features = model(WHOLE)
        if cfg.TEST.FLIP.ENABLED:
            features = features + model(WHOLE | {"images": WHOLE["images"].flip(3)})
        return torch.nn.functional.normalize(features).numpy()


def images_of(modality: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of a modality in WHOLE and their rows."""
    rows = (WHOLE["modalities"] == modality).numpy()
    return WHOLE["images"].float().numpy()[rows], rows


@dataclass
class Files:
    """A method's ONNX files, and what it says itself about WHOLE."""

    model: torch.nn.Module
    cfg: Any
    folder: Path
    written: list[export.Exported]
    features: np.ndarray
    said: str = ""


@pytest.fixture(scope="module")
def exported(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """ONNX_METHOD as the command writes and compares it, once for the file; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    out, weights = folder / "out", folder / "weights.pth"
    model, cfg = trained_like(ONNX_METHOD, *MIRRORED)
    torch.save({"model": {key: value for key, value in model.state_dict().items() if key != "heads.weight"}}, weights)
    ran = python(
        "tools/export_onnx.py", "--config-file", f"configs/SYSU/{ONNX_METHOD}.yml", "--output", str(out), "--compare",
        "--json", str(out / "rows.json"), *SMALL, *SMALL_METHODS[ONNX_METHOD], "MODEL.WEIGHTS", str(weights),
        *MIRRORED, "TEST.METRIC", "euclidean",
        FASTREID_DATASETS=str(tree),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    written = [export.Exported(**one) for one in json.loads((out / "model.json").read_text())["files"]]
    return Files(model, cfg, out, written, features_of(model, cfg), ran.stdout)


def check_onnx(files: Files) -> None:
    assert [Path(one.file).name for one in files.written] == ["visible.onnx", "infrared.onnx"]
    assert all(one.difference <= 1e-4 and one.bytes > 1000 for one in files.written)
    assert all(Path(one.file).stat().st_size == one.bytes for one in files.written)
    for modality, name in MODALITIES.items():
        images, rows = images_of(modality)
        found = exporters.onnx_runner(files.folder / f"{name}.onnx")(images)
        np.testing.assert_allclose(found, files.features[rows], atol=1e-4)
    note = json.loads((files.folder / "model.json").read_text())
    assert (note["height"], note["width"], len(note["files"])) == (64, 32, 2)


@needs_exporter
def test_export_onnx_equals_the_method(exported: Files) -> None:
    check_onnx(exported)


@needs_exporter
@pytest.mark.slow
@pytest.mark.parametrize("config", OTHERS)
def test_export_onnx_equals_every_other_method(config: str, tmp_path: Path) -> None:
    model, cfg = trained_like(config)
    check_onnx(Files(model, cfg, tmp_path, export.export_onnx(model, cfg, tmp_path), features_of(model, cfg)))


@needs_exporter
def test_export_onnx_gives_the_modalities_different_files(exported: Files) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 32)).astype(np.float32)
    both = [exporters.onnx_runner(exported.folder / f"{name}.onnx")(images) for name in ("visible", "infrared")]
    assert np.abs(both[0] - both[1]).max() > 1e-3


def check_programs(config: str, folder: Path, *overrides: str) -> None:
    model, cfg = trained_like(config, *overrides)
    written = export.export_program(model, cfg, folder)
    assert [Path(one.file).name for one in written] == [f"{name}.pt2" for name in exporters.MODALITIES.values()]
    assert all(one.difference <= 1e-4 and one.bytes > 1000 for one in written)
    features = features_of(model, cfg)
    for modality, name in exporters.MODALITIES.items():
        images, rows = images_of(modality)
        found = exporters.program_runner(folder / f"{name}.pt2")(images)
        np.testing.assert_allclose(found, features[rows], atol=1e-4)


@needs_exporter
def test_export_program_equals_the_method(tmp_path: Path) -> None:
    """Of a method that is not ONNX_METHOD, and without the pass of mirrored images, which `exported` has."""
    check_programs("one_stream", tmp_path, "TEST.FLIP.ENABLED", "False")


@needs_exporter
@pytest.mark.slow
@pytest.mark.parametrize("config", [ONNX_METHOD, *OTHERS])
def test_export_program_equals_every_method(config: str, tmp_path: Path) -> None:
    check_programs(config, tmp_path)


@needs_exporter
def test_export_onnx_refuses_a_file_that_differs(
    exported: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copies(_: object, __: object, file: str, **___: object) -> None:
        shutil.copy(exported.folder / Path(file).name, file)

    real = exporters.onnx_runner
    monkeypatch.setattr(torch.onnx, "export", copies)
    cfg = exported.cfg.clone()
    cfg.freeze()
    assert len(export.export_onnx(exported.model, cfg, tmp_path)) == 2
    # Whatever takes a configuration leaves it as it is; see tests/engine/test_kept_config.py.
    assert cfg == exported.cfg
    assert cfg.is_frozen()
    monkeypatch.setattr(exporters, "onnx_runner", lambda file: lambda images: real(file)(images) + 2e-4)
    with pytest.raises(ExportError, match=r"visible\.onnx' differ from the method's by .*do not use it"):
        export.export_onnx(exported.model, cfg, tmp_path)


@needs_exporter
def test_export_onnx_command_compares_forms(exported: Files) -> None:
    assert len(re.findall(r"features differ from the method's by \d", exported.said)) == 2
    assert "this run's own scores are by euclidean (TEST.METRIC)" in exported.said
    rows = {row["form"]: row for row in json.loads((exported.folder / "rows.json").read_text())["rows"]}
    assert list(rows) == ["torch, float32", "ONNX, float32", "ONNX, float16", "ONNX, int8"]
    assert rows["ONNX, float16"]["bytes"] < 0.6 * rows["ONNX, float32"]["bytes"]
    assert rows["ONNX, int8"]["bytes"] < 0.4 * rows["ONNX, float32"]["bytes"]
    assert rows["ONNX, float32"]["least_cosine"] == pytest.approx(1, abs=1e-4)
    assert rows["ONNX, float16"]["least_cosine"] > 0.99
    # Calibrated on other people's images, with a network of random weights.
    assert rows["ONNX, int8"]["cosine"] > 0.9
    assert 0.95 <= rows["ONNX, int8"]["agreement"] < 1
    onnx = optional("onnx")
    types = {
        one.data_type
        for one in onnx.load(exported.folder / "visible.int8.onnx").graph.initializer
        if len(one.dims) == 4
    }
    assert onnx.TensorProto.UINT8 in types
    assert onnx.TensorProto.INT8 not in types
    assert rows["ONNX, float32"]["mAP"] == pytest.approx(rows["torch, float32"]["mAP"], abs=0.2)
    assert rows["ONNX, float16"]["mAP"] == pytest.approx(rows["torch, float32"]["mAP"], abs=2)


@needs_exporter
def test_onnx_search_example_finds_images_without_torch(exported: Files, tree: Path) -> None:
    query = SYSUMM01(root=str(tree)).query[0][0]
    gallery = tree / "SYSU-MM01" / "cam1"
    watched = (
        "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert 'torch' not in sys.modules and 'vireid_plugins' not in sys.modules"
    )
    found = python("-c", watched, str(ROOT / "examples" / "onnx_search.py"), str(exported.folder), str(gallery), query)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 10
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)


@needs_exporter
def test_int8_refuses_a_file_that_this_processor_runs_otherwise(
    exported: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an operator saturated: the optimized file gives other features than the plain one."""
    real = exporters.onnx_runner

    def runner(file: Path, optimized: bool = True) -> Any:
        run = real(file, optimized=optimized)
        return (lambda images: -run(images)) if optimized else run

    monkeypatch.setattr(quantize, "onnx_runner", runner)
    with pytest.raises(
        ExportError, match=r"computes '.*a\.onnx' with other features than it describes: their cosine is -"
    ):
        quantize.int8(exported.folder / "visible.onnx", tmp_path / "a.onnx", images_of(0)[0][:2])
    assert not list(tmp_path.iterdir())


def test_export_onnx_says_in_one_message_that_the_exporter_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("\x1b[96mno such operator\x1b[0m\nand a long story")

    model, cfg = trained_like("one_stream")
    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(
        ExportError, match=r"cannot export this method \(RuntimeError: no such operator\); tested with torch 2\.13"
    ):
        export.export_onnx(model, cfg, tmp_path)


def test_export_onnx_onto_a_disk_that_fills_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills(_: object, __: object, file: str, **___: object) -> None:
        Path(file).write_bytes(b"half")
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("failed to save the model") from error

    (tmp_path / "visible.onnx").write_bytes(b"former")
    model, cfg = trained_like("one_stream")
    monkeypatch.setattr(torch.onnx, "export", fills)
    with pytest.raises(ConfigError, match=r"visible\.onnx' cannot be written: No space left on device$"):
        export.export_onnx(model, cfg, tmp_path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("visible.onnx", b"former")]
