"""Exported methods compute what the methods compute."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, SMALL, batch, needs_exporter, python, small_cfg

from vireid_plugins import deploy
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.deploy import export
from vireid_plugins.errors import ExportError

METHODS = ("one_stream", "agw", "deen", "wrim", "idkl", "mscm", "icre")


def trained_like(config: str) -> tuple[torch.nn.Module, object]:
    """A network whose batch statistics and stems are not those of its beginning."""
    torch.manual_seed(0)
    cfg = small_cfg(f"SYSU/{config}.yml", "MODEL.HEADS.NUM_CLASSES", "4")
    model = build_model(cfg).train()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter) * parameter.abs().mean()
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    model(batch(4, 2, views=views))
    return model.eval(), cfg


@needs_exporter
@pytest.mark.parametrize("config", METHODS)
def test_onnx_and_torch_export(config: str, tmp_path: Path) -> None:
    model, cfg = trained_like(config)
    for write, suffix in ((deploy.export_onnx, "onnx"), (deploy.export_program, "pt2")):
        written = write(model, cfg, tmp_path)
        assert [Path(one.file).name for one in written] == [f"visible.{suffix}", f"infrared.{suffix}"]
        assert all(one.difference <= 1e-4 and one.bytes > 1000 for one in written)
    # Beside the method itself, with its own routing of a mixed batch.
    whole = batch(4, 2)
    with torch.inference_mode():
        features = model(whole)
        if cfg.TEST.FLIP.ENABLED:
            features = features + model(whole | {"images": whole["images"].flip(3)})
        expected = torch.nn.functional.normalize(features).numpy()
    for modality, name in enumerate(("visible", "infrared")):
        rows = (whole["modalities"] == modality).numpy()
        images = whole["images"].float().numpy()[rows]
        found = export.onnx_runner(tmp_path / f"{name}.onnx")(images)
        np.testing.assert_allclose(found, expected[rows], atol=1e-4)
    note = json.loads((tmp_path / "model.json").read_text())
    assert (note["height"], note["width"], len(note["files"])) == (64, 32, 2)


@needs_exporter
def test_the_modalities_are_different_files(tmp_path: Path) -> None:
    model, cfg = trained_like("agw")
    deploy.export_onnx(model, cfg, tmp_path)
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 32)).astype(np.float32)
    first, second = (export.onnx_runner(tmp_path / f"{name}.onnx")(images) for name in ("visible", "infrared"))
    assert np.abs(first - second).max() > 1e-3


@needs_exporter
def test_a_file_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, cfg = trained_like("one_stream")
    real = export.onnx_runner
    monkeypatch.setattr(export, "onnx_runner", lambda file: lambda images: real(file)(images) + 2e-4)
    with pytest.raises(ExportError, match=r"visible\.onnx' differs from the method by .*do not use it"):
        deploy.export_onnx(model, cfg, tmp_path)


@needs_exporter
def test_the_command_line_compares_and_the_example_searches_without_torch(
    tree: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = python(
        "tools/export_onnx.py", "--config-file", "configs/SYSU/wrim.yml", "--output", str(out), "--compare",
        "--json", str(tmp_path / "rows.json"), *SMALL, "OUTPUT_DIR", str(trained), FASTREID_DATASETS=str(tree),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(re.findall(r"features differ from the method's by \d", ran.stdout)) == 2
    rows = {row["form"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert list(rows) == ["torch, float32", "ONNX, float32", "ONNX, float16", "ONNX, int8"]
    assert rows["ONNX, float16"]["bytes"] < 0.6 * rows["ONNX, float32"]["bytes"]
    assert rows["ONNX, int8"]["bytes"] < 0.4 * rows["ONNX, float32"]["bytes"]
    assert rows["ONNX, float32"]["mAP"] == pytest.approx(rows["torch, float32"]["mAP"], abs=0.2)
    assert rows["ONNX, float16"]["mAP"] == pytest.approx(rows["torch, float32"]["mAP"], abs=2)

    query = SYSUMM01(root=str(tree)).query[0][0]
    gallery = tree / "SYSU-MM01" / "cam1"
    watched = (
        "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert 'torch' not in sys.modules and 'vireid_plugins' not in sys.modules"
    )
    found = python("-c", watched, str(ROOT / "examples" / "onnx_search.py"), str(out), str(gallery), query)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 10
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert sys.executable


def test_an_exporter_that_fails_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("\x1b[96mno such operator\x1b[0m\nand a long story")

    model, cfg = trained_like("one_stream")
    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(
        ExportError, match=r"cannot export this method \(RuntimeError: no such operator\); tested is torch 2\.13"
    ):
        deploy.export_onnx(model, cfg, tmp_path)
