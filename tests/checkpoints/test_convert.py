"""Networks of public code bases, filled by formula, give the features that the code bases gave."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, often, python
from released import Shape, filled, mscm_small, shapes

from vireid_plugins.checkpoints import LAYOUTS, convert, convert_file
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.errors import ConfigError, DataError

FIXTURES = ROOT / "tests" / "fixtures"


def damped(key: str, shape: Shape) -> float:
    """The filling of the features' fixtures; relation blocks at full strength are in the trajectories' tests."""
    return 0.05 if len(shape) == 4 and key.startswith(("NL_", "MFA")) else 1.0


def weights_of(layout: str, salt: int = 0) -> dict[str, torch.Tensor]:
    return filled(layout, shapes(layout), salt, damped)


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
    return build_model(cfg).double().eval()


@pytest.mark.parametrize("layout", often(("agw", "deen", "idkl", "mscm"), "agw"))
def test_convert_fills_a_network_that_gives_the_released_features(layout: str) -> None:
    """In float64; a wrong relation block once passed at 4e-6. Two images are taken as visible, two as infrared."""
    fixture = np.load(FIXTURES / f"{layout}_features.npz")
    salt, height, width = (int(fixture[name]) for name in ("salt", "height", "width"))
    converted = convert(layout, weights_of(layout, salt))
    assert not converted.missing
    model = network(layout, height, width)
    model.load_state_dict(converted.weights)
    pixels = np.random.RandomState(1000 + salt).standard_normal((4, 3, height, width)).astype(np.float32)
    images = torch.from_numpy(pixels).double()
    head = model.heads["sh" if layout == "idkl" else "global"]

    def expected(name: str, rows: slice) -> np.ndarray:
        """The rows of these images; DEEN has three for each, one image after the other within each of the three."""
        found = fixture[name]
        return found.reshape(-1, 4, found.shape[1])[:, rows].reshape(-1, found.shape[1])

    for modality, name in enumerate(("visible", "infrared")):
        rows = slice(2 * modality, 2 * modality + 2)
        modalities = torch.full((2,), modality)
        with torch.no_grad():
            maps = model.extract(images[rows], modalities, torch.zeros(2, dtype=torch.long))
            pooled = head.pool_layer(next(iter(maps.values())))
            neck = head.bottleneck(pooled)[..., 0, 0]
        assert neck.dtype == torch.float64
        if layout == "idkl":
            # Atol is relative to the feature's own scale, since it is not normalised.
            scale = np.abs(fixture["feature"]).max()
            np.testing.assert_allclose(neck, expected("feature", rows), rtol=0, atol=1e-6 * scale)
            continue
        np.testing.assert_allclose(F.normalize(pooled[..., 0, 0]), expected(f"{name}_pool", rows), rtol=0, atol=1e-6)
        np.testing.assert_allclose(F.normalize(neck), expected(f"{name}_neck", rows), rtol=0, atol=1e-6)


def test_convert_fills_regdbs_deen_from_a_layout_of_its_own() -> None:
    weights = weights_of("deen_regdb")
    found = convert("deen_regdb", weights)
    assert not found.missing
    assert {key for key in weights if key.startswith("base_resnet.base.layer4")} <= set(found.unused)
    assert not any("stage4" in name or name.startswith("mfa.2") for name in found.weights)
    assert found.weights["heads.global.weight"].shape == (395, 1024)
    with pytest.raises(DataError, match=r"DEE\.FC11\.weight.* SYSU/deen\.yml has \(256, 1024, 3, 3\)"):
        convert("deen", weights)


def test_convert_takes_a_mscmnet_of_another_image_size() -> None:
    weights = filled("mscm", mscm_small(shapes("mscm")), 0, damped)
    with pytest.raises(DataError, match=r"layerATT\d\..*would become"):
        convert("mscm", weights)
    size = ["INPUT.SIZE_TRAIN", "[96, 48]", "INPUT.SIZE_TEST", "[96, 48]"]
    assert not convert("mscm", weights, size).missing
    with pytest.raises(ConfigError, match=r"INPUT\.SIZES"):
        convert("mscm", weights, ["INPUT.SIZES", "[96, 48]"])


def test_convert_calls_copies_unused_and_refuses_strangers() -> None:
    weights = weights_of("agw")
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
    with pytest.raises(ConfigError, match=r"available: adca, agw, deen, deen_regdb, idkl, .*mscm"):
        convert("clip", {})
    del weights["bottleneck.weight"]
    assert convert("agw", weights).missing == ["heads.global.bottleneck.0.weight"]


def test_convert_refuses_numbers_that_are_no_weights() -> None:
    weights = weights_of("agw")
    key = "base_resnet.base.layer1.0.conv1.weight"
    with pytest.raises(DataError, match=r"the checkpoint has weights that are infinite or NaN, 1 of \d+ tensors: bac"):
        convert("agw", weights | {key: weights[key] * torch.nan})
    with pytest.raises(DataError, match=r"the checkpoint does not fit: .* 1 have another type, the first: .* int"):
        convert("agw", weights | {key: weights[key].int()})
    with pytest.raises(DataError, match="it is not of the layout agw"):
        convert("agw", weights | {"classifier.weight": torch.tensor(3.0)})


def test_convert_file_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a link, to the source or to nothing; what there is is not even read."""
    monkeypatch.chdir(tmp_path)
    source = Path("public.t")
    source.write_bytes(b"public")
    Path("link.pth").symlink_to(source)
    Path("hard.pth").hardlink_to(source)
    Path("dangling.pth").symlink_to("gone")
    Path("other.pth").write_bytes(b"other")
    Path("folder.pth").mkdir()
    for target in ("public.t", "./public.t", str(tmp_path / "public.t"), "link.pth", "hard.pth"):
        with pytest.raises(DataError, match=rf"^'{Path(target)}' is the source and would be overwritten; choose an"):
            convert_file("agw", source, Path(target))
    for target in ("dangling.pth", "other.pth", "folder.pth"):
        with pytest.raises(DataError, match=rf"^'{target}' exists and would be overwritten; choose another target"):
            convert_file("agw", source, Path(target))
    assert (source.read_bytes(), Path("other.pth").read_bytes()) == (b"public", b"other")
    assert not Path("gone").exists()
    with pytest.raises(DataError, match=r"^'public\.t' cannot be loaded as weights"):
        convert_file("agw", source, Path("new.pth"))
    assert not Path("new.pth").exists()


def test_convert_checkpoint_writes_a_file_that_is_scored(little_tree: Path, tmp_path: Path) -> None:
    # AGW's script stores the CMC curve and the mAP as numpy values.
    scores = {"cmc": np.linspace(0.5, 1, 20, dtype=np.float32), "mAP": np.float64(0.5), "mINP": np.float32(0.25)}
    torch.save({"net": weights_of("agw"), **scores, "epoch": 3}, tmp_path / "agw.t")
    ran = python("tools/convert_checkpoint.py", "agw", str(tmp_path / "agw.t"), str(tmp_path / "agw.pth"))
    assert ran.returncode == 0, ran.stderr
    assert "0 missing" in ran.stdout
    assert "unused copy  thermal_module.thermal.layer1.0.conv1.weight" in ran.stdout
    scored = python(
        "tools/train_net.py", "--config-file", "configs/SYSU/agw.yml", "--eval-only", "MODEL.WEIGHTS",
        str(tmp_path / "agw.pth"), "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "TEST.FLIP.ENABLED", "False",
        "OUTPUT_DIR", str(tmp_path / "out"), "TEST.IMS_PER_BATCH", "32", "INPUT.SIZE_TEST", "[64, 32]",
        "TEST.COMPARE_RANDOM", "False", FASTREID_DATASETS=str(little_tree),
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert "sysu/official/all/1shot" in scored.stdout


def test_deploy_is_the_former_name_and_says_so() -> None:
    sys.modules.pop("vireid_plugins.deploy", None)
    with pytest.warns(FutureWarning, match=r"deploy is now vireid_plugins\.checkpoints"):
        former = importlib.import_module("vireid_plugins.deploy")
    assert former.convert is convert
    assert former.LAYOUTS is LAYOUTS
