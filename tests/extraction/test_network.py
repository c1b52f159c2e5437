"""Fast features: those of the network, whatever else is in the batch, or the network's own after one warning."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import batch, needs_exporter, often, small_cfg
from torch import Tensor, nn

import vireid_plugins
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.extraction import FastNetwork, form_of, forms, network, network_for
from vireid_plugins.extraction.forms import Form, channels_last, in_bfloat16, in_onnxruntime
from vireid_plugins.visualize.retrieve import extract

FORMS = {
    "bfloat16": in_bfloat16,
    "channels last": channels_last,
    "onnxruntime": in_onnxruntime,
}
WHOLE = batch(4, 3)


def trained_like(config: str = "agw") -> nn.Module:
    """A network in evaluation mode whose stems differ between the modalities."""
    torch.manual_seed(0)
    model: nn.Module = build_model(small_cfg(f"SYSU/{config}.yml", "MODEL.HEADS.NUM_CLASSES", "4")).train()
    model(batch(4, 2))
    return model.eval()


@pytest.fixture(scope="module")
def agw() -> nn.Module:
    """`trained_like`, once; not to be changed."""
    return trained_like()


def fast_of(model: nn.Module, make: Any, monkeypatch: pytest.MonkeyPatch) -> FastNetwork:
    monkeypatch.setattr(network, "fastest", lambda: Form("a form", make))
    return FastNetwork(model, (64, 32)).eval()


def rows(*numbers: int) -> dict[str, Any]:
    """Rows of WHOLE."""
    return {key: WHOLE[key][list(numbers)] for key in ("images", "modalities")}


def said(log: pytest.LogCaptureFixture, words: str) -> list[str]:
    """The messages with these words, each once, of however many handlers."""
    return [text for text in {id(one): one.getMessage() for one in log.records}.values() if words in text]


def cosines(found: Tensor, expected: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(found.double(), expected.double())


@needs_exporter
@pytest.mark.parametrize("name", often(FORMS, "bfloat16", "channels last"))
def test_fast_network_gives_the_features_of_the_network_alone_and_in_a_batch(
    name: str, agw: nn.Module, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    fast = fast_of(agw, FORMS[name], monkeypatch)
    # A hook that looks at the number of images would fix it in an exported file.
    seen: list[int] = []
    watched = agw.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0]["images"])))
    with watched, torch.inference_mode():
        found, expected = fast(WHOLE), agw(WHOLE)
        assert form_of(fast) == "a form"
        assert cosines(found, expected).min() > (0.9995 if name == "bfloat16" else 1 - 1e-9)
        # Not scaled: a flip test adds features, and the Euclidean distance compares them.
        torch.testing.assert_close(found.norm(dim=1), expected.norm(dim=1), rtol=0.01, atol=0)
        unit = nn.functional.normalize(found)
        for some in ([0], [23], [5, 17], [20, 2, 11, 12], list(range(3, 22))):
            alone = nn.functional.normalize(fast(rows(*some)))
            torch.testing.assert_close(alone, unit[some], rtol=0, atol=1e-6)
    assert len(said(log, "Extraction: a form")) == 1


def test_fast_network_that_is_too_far_off_warns_once_and_is_exact(
    agw: nn.Module, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def off(single: nn.Module, size: Any) -> Any:
        # A cosine of 0.9994.
        return lambda images: single(images) + 0.0347 * single(images).norm(dim=1)[:, None] * orthogonal(single(images))

    def orthogonal(features: Tensor) -> Tensor:
        other = torch.ones_like(features)
        other -= (other * features).sum(1)[:, None] / features.square().sum(1)[:, None] * features
        return nn.functional.normalize(other)

    check_exact(fast_of(agw, off, monkeypatch), agw, log, r"below 0.9995")


def test_fast_network_without_a_package_names_what_to_install(
    agw: nn.Module, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def fails(single: nn.Module, size: Any) -> Any:
        raise RuntimeError("not needed")

    monkeypatch.setattr(network, "fastest", lambda: Form("a form", fails, ("onnx", "onnxruntime")))
    fast = FastNetwork(agw, (64, 32)).eval()
    with torch.inference_mode():
        for _ in range(2):
            fast(rows(0))
    words = "TEST.EXTRACTION: fast is faster with onnx, onnxruntime: pip install onnx onnxruntime"
    assert said(log, "is faster with") == [words]


def test_fast_network_that_fails_warns_once_and_is_exact(
    agw: nn.Module, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def fails(single: nn.Module, size: Any) -> Any:
        raise RuntimeError("no such operator\nand a long story")

    check_exact(fast_of(agw, fails, monkeypatch), agw, log, "a form failed: no such operator")


def check_exact(fast: FastNetwork, model: nn.Module, log: pytest.LogCaptureFixture, message: str) -> None:
    with torch.no_grad():
        for some in (WHOLE, rows(0, 1)):
            torch.testing.assert_close(fast(some), model(some), rtol=0, atol=0)
    warnings = said(log, "features are computed exactly")
    assert len(warnings) == 1
    assert message in warnings[0]
    assert form_of(fast) == "exact"


def test_fastest_goes_by_the_processor_and_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert forms.fastest().make is in_bfloat16
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(forms, "NEEDED", ("numpy", "no_such_package"))
    assert forms.fastest().make is channels_last
    assert forms.fastest().missing == ("no_such_package",)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", None)
    monkeypatch.setattr(forms, "NEEDED", ("numpy",))
    monkeypatch.setattr(forms, "optional", lambda name: np)
    assert forms.fastest().make is in_onnxruntime


def test_network_for_is_the_network_itself_unless_a_cpu_is_asked_to_be_fast(
    agw: nn.Module, log: pytest.LogCaptureFixture
) -> None:
    cfg = small_cfg("SYSU/agw.yml")
    assert network_for(cfg, agw) is agw
    assert form_of(agw) == "exact"
    cfg.TEST.EXTRACTION = "fast"
    assert isinstance(network_for(cfg, agw), FastNetwork)
    cfg.MODEL.DEVICE = "cuda"
    assert network_for(cfg, agw) is agw
    assert "fast is for a CPU" in log.text
    cfg.TEST.EXTRACTION = "quick"
    with pytest.raises(ConfigError, match=r"TEST\.EXTRACTION: unknown value 'quick'; available: exact, fast"):
        network_for(cfg, agw)


@pytest.mark.usefixtures("little_root")
def test_every_extraction_takes_the_fast_form(
    trained: Path, agw: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "fastest", lambda: Form("a form", channels_last))
    cfg = small_cfg("SYSU/agw.yml", "TEST.EXTRACTION", "fast", "OUTPUT_DIR", str(tmp_path))
    agw.train()
    Trainer.test(cfg, agw)
    assert agw.training
    agw.eval()
    assert json.loads((tmp_path / "evaluation.json").read_text())["provenance"]["extraction"] == "a form"
    used: list[int] = []
    real = FastNetwork.forward
    monkeypatch.setattr(
        FastNetwork, "forward", lambda self, given: used.append(len(given["images"])) or real(self, given)
    )
    assert len(extract(cfg, agw).paths) == sum(used)
    del used[:]
    picture = np.zeros((72, 32, 3), np.uint8)
    vireid_plugins.load(str(trained), ["TEST.EXTRACTION", "fast"]).embed(picture, modality="visible")
    assert used
