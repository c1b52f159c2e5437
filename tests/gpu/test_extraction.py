"""Features and scores of the device are those of a CPU."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batch, small_cfg
from on_device import DEVICE, every_method, network

from vireid_plugins.engine import Trainer

pytestmark = pytest.mark.gpu
# Of the largest value. A sum of the n <= 4,608 terms of a convolution is off by about sqrt(n) x 2^-24 = 4e-6 in another
# order, and there are some 20 of them; TensorFloat-32 would be off by 2^-11 = 5e-4 in each.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    """Convolutions in float32, which by default are in TensorFloat-32 on CUDA."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@every_method
def test_features_are_those_of_a_cpu(method: str) -> None:
    images = batch(3, 2)
    with torch.no_grad():
        expected = network(method, "cpu").eval()(images)
        found = network(method).eval()(images)
    assert found.device.type == DEVICE
    scale = expected.abs().max()
    torch.testing.assert_close(found.cpu() / scale, expected / scale, rtol=0, atol=TOLERANCE)


def scored(model: torch.nn.Module, device: str, out: Path, metric: str) -> dict[str, Any]:
    """What evaluation.json says of a model: the loader, the flip test, the scores on the device."""
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.DEVICE", device, "TEST.METRIC", metric, "OUTPUT_DIR", str(out))
    out.mkdir()
    Trainer.test(cfg, model)
    report: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
    return report


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scores_of_every_protocol_are_those_of_a_cpu(tmp_path: Path, metric: str) -> None:
    expected = scored(network("wrim", "cpu"), "cpu", tmp_path / "cpu", metric)
    found = scored(network("wrim"), DEVICE, tmp_path / "device", metric)
    for ours, theirs in zip(found["results"], expected["results"], strict=True):
        assert ours["mean"] == pytest.approx(theirs["mean"], abs=1e-9)
