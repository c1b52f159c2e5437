"""What every shipped config must do: build at full size, step, evaluate, survive a checkpoint."""

from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import CONFIGS, batch, small_cfg

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine import VireidCheckpointer
from vireid_plugins.engine.optimizer import build_optimizer

# Parameters at full size, and width of the test feature.
RESNET_50, NECK = 23_508_032, 2 * 2048
MIIMS = 1_246_720 + 1_838_080 + 788_480 + 3_149_824
MLP = 2048 * 2048 + 2048 + 2 * 2048 + 2048 * 128 + 128
IDENTITIES = {"SYSU": 395, "RegDB": 206, "LLCM": 713}
FULL = {
    "one_stream.yml": lambda classifier: (RESNET_50 + NECK + classifier, 2048),
    # Three branches on P5 and one of half the width on P4.
    "wrim.yml": lambda classifier: (RESNET_50 + MIIMS + MLP + 7 * (NECK + classifier) // 2, 6144),
}


def small(name: str, *overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(small_cfg(name, "MODEL.HEADS.NUM_CLASSES", "6", *overrides))


@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.startswith("demo")])
def test_full_size(name: str) -> None:
    data, method = name.split("/")
    cfg = get_cfg()
    cfg.merge_from_file(config_path(name))
    cfg.merge_from_list(
        ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", IDENTITIES[data]]
    )
    model = build_model(cfg).eval()
    parameters, width = FULL[method](IDENTITIES[data] * 2048)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.no_grad():
        features = model(batch(1, 1, size=tuple(cfg.INPUT.SIZE_TEST)))
    assert features.shape == (2, width)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_reaches_every_parameter(name: str) -> None:
    model = small(name).train()
    optimizer = build_optimizer(small_cfg(name), model)
    before = {key: value.clone() for key, value in model.named_parameters()}
    for step in range(20):
        losses = model(batch(6, 2, seed=step))
        assert all("loss" in key and value.ndim == 0 and torch.isfinite(value) for key, value in losses.items())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        if step == 0:
            missing = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
            assert not missing
        optimizer.step()
    still = [key for key, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[key])]
    assert not still


@pytest.mark.parametrize("name", CONFIGS)
def test_evaluation_takes_any_mix_order_and_number(name: str) -> None:
    model = small(name).eval()
    whole = batch(3, 2)
    with torch.no_grad():
        features = model(whole)
        order = torch.randperm(12)
        mixed = {key: value[order] for key, value in whole.items() if key != "img_paths"}
        torch.testing.assert_close(model(mixed), features[order])
        for rows in (slice(0, 1), slice(11, 12), slice(0, 6), slice(6, 12)):
            part = {key: value[rows] for key, value in whole.items()}
            torch.testing.assert_close(model(part), features[rows])


@pytest.mark.parametrize("name", CONFIGS)
def test_images_are_not_written_to_and_uint8_and_float_agree(name: str) -> None:
    model = small(name).eval()
    whole = batch(2, 1)
    floats = whole | {"images": whole["images"].float()}
    kept = floats["images"].clone()
    with torch.no_grad():
        first, second = model(floats), model(floats)
        torch.testing.assert_close(model(whole), first)
    assert torch.equal(first, second)
    assert torch.equal(floats["images"], kept)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_gives_the_same_features(name: str, tmp_path: Path) -> None:
    model = small(name)
    model.train()(batch(6, 2))
    VireidCheckpointer(model, str(tmp_path)).save("model")
    other = small(name)
    torch.manual_seed(99)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    VireidCheckpointer(other).load(str(tmp_path / "model.pth"))
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(batch()), model.eval()(batch()), rtol=0, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_bf16(name: str) -> None:
    model = small(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.train()(batch(6, 2))
    full = small(name).train()(batch(6, 2))
    for key, value in half.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, full[key], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", CONFIGS)
def test_precise_bn_batches_move_statistics_and_have_no_losses(name: str) -> None:
    model = small(name).train()
    before = [b.clone() for key, b in model.named_buffers() if key.endswith("running_mean")]
    unlabelled = batch(6, 2)
    unlabelled["targets"].fill_(-1)
    assert model(unlabelled) == {}
    after = [b for key, b in model.named_buffers() if key.endswith("running_mean")]
    assert all(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
