"""Networks of four public code bases, filled by formula, give the features that the code bases gave."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, python

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.deploy import LAYOUTS, convert
from vireid_plugins.errors import ConfigError, DataError

FIXTURES = ROOT / "tests" / "fixtures"
FILES = {"agw": "agw", "deen": "deen", "idkl": "idkl_released", "mscm": "mscm_released"}


def filled(layout: str) -> dict[str, torch.Tensor]:
    """The weights of the formula that the fixtures were drawn with, for every key of the layout."""
    weights = {}
    for line in (FIXTURES / f"{FILES[layout]}.txt").read_text().splitlines():
        key, _, shape_text = line.partition(" ")
        shape = tuple(int(n) for n in shape_text.strip("() ").split(",") if n.strip())
        x = np.random.RandomState(zlib.crc32(key.encode()) % 2**32).standard_normal(shape)
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.zeros(shape, dtype=torch.long)
            continue
        if key.endswith("running_mean"):
            x = 0.1 * x
        elif key.endswith("running_var"):
            x = 1 + 0.1 * np.abs(x)
        elif key.endswith("bias"):
            x = 0.1 * x
        elif len(shape) == 1:
            x = 0.8 + 0.1 * x
        else:
            x = x * np.sqrt(1 / np.prod(shape[1:]))
            if len(shape) == 4 and key.startswith(("NL_", "MFA")):
                x = 0.05 * x
        weights[key] = torch.from_numpy(np.asarray(x, dtype=np.float32))
    return weights


def network(layout: str, height: int, width: int) -> torch.nn.Module:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(LAYOUTS[layout].config))
    size = f"[{height}, {width}]"
    cfg.merge_from_list(
        [
            "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "395",
            "INPUT.SIZE_TRAIN", size, "INPUT.SIZE_TEST", size,
        ]
    )  # fmt: skip
    return build_model(cfg).eval()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_equal_the_code_bases(layout: str) -> None:
    fixture = np.load(FIXTURES / f"{layout}_features.npz")
    height, width = int(fixture["height"]), int(fixture["width"])
    converted = convert(layout, filled(layout))
    assert not converted.missing
    model = network(layout, height, width)
    model.load_state_dict(converted.weights)
    pixels = np.random.RandomState(1000).standard_normal((4, 3, height, width)).astype(np.float32)
    head = model.heads["sh" if layout == "idkl" else "global"]
    for modality, name in enumerate(("visible", "infrared")):
        modalities = torch.full((4,), modality)
        with torch.no_grad():
            maps = model.extract(torch.from_numpy(pixels), modalities, torch.zeros(4, dtype=torch.long))
            pooled = head.pool_layer(next(iter(maps.values())))
            neck = head.bottleneck(pooled)[..., 0, 0]
        if layout == "idkl":
            # Atol is relative to the feature's own scale, since it is not normalised.
            np.testing.assert_allclose(neck, fixture["feature"], atol=1e-5 * np.abs(fixture["feature"]).max())
            continue
        np.testing.assert_allclose(F.normalize(pooled[..., 0, 0]), fixture[f"{name}_pool"], atol=1e-5)
        np.testing.assert_allclose(F.normalize(neck), fixture[f"{name}_neck"], atol=1e-5)


def test_copies_are_called_unused_and_strangers_are_refused() -> None:
    weights = filled("agw")
    found = convert("agw", weights)
    assert set(found.used) | set(found.unused) == set(weights)
    assert all(key.startswith(("visible_module", "thermal_module", "base_resnet.base.")) for key in found.unused)
    assert len(found.weights) == len(found.used)
    with pytest.raises(DataError, match=r"'fc\.weight' is not a key of the layout agw"):
        convert("agw", weights | {"fc.weight": torch.zeros(2)})
    with pytest.raises(DataError, match=r"NL_2\.0\.theta\.bias.*would become"):
        convert("agw", weights | {"NL_2.0.theta.bias": torch.zeros(7)})
    with pytest.raises(DataError, match=r"has no 'classifier\.weight'"):
        convert("deen", {})
    with pytest.raises(ConfigError, match="there are agw, deen, idkl, mscm"):
        convert("clip", {})
    del weights["bottleneck.weight"]
    assert convert("agw", weights).missing == ["heads.global.bottleneck.0.weight"]


def test_a_file_is_converted_and_scored(tree: Path, tmp_path: Path) -> None:
    # AGW's script stores the CMC curve and the mAP as numpy values.
    scores = {"cmc": np.linspace(0.5, 1, 20, dtype=np.float32), "mAP": np.float64(0.5), "mINP": np.float32(0.25)}
    torch.save({"net": filled("agw"), **scores, "epoch": 3}, tmp_path / "agw.t")
    ran = python("tools/convert_checkpoint.py", "agw", str(tmp_path / "agw.t"), str(tmp_path / "agw.pth"))
    assert ran.returncode == 0, ran.stderr
    assert "0 missing" in ran.stdout
    assert "unused copy  thermal_module.thermal.layer1.0.conv1.weight" in ran.stdout
    scored = python(
        "tools/train_net.py", "--config-file", "configs/SYSU/agw.yml", "--eval-only", "MODEL.WEIGHTS",
        str(tmp_path / "agw.pth"), "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "TEST.FLIP.ENABLED", "False",
        "OUTPUT_DIR", str(tmp_path / "out"), "TEST.IMS_PER_BATCH", "32", FASTREID_DATASETS=str(tree),
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert "sysu/official/all/1shot" in scored.stdout
