"""What every method must do. A method's test inherits the class and lists its configs."""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg, views_of
from torch.utils.flop_counter import FlopCounterMode

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine import VireidCheckpointer
from vireid_plugins.engine.optimizer import build_optimizer

# Training identities of the real sets.
IDENTITIES = {"SYSU": 395, "RegDB": 206, "LLCM": 713}


class Size(NamedTuple):
    """Of the network at full size: parameters, billions of multiply-adds of an infrared image, width of the feature."""

    parameters: int
    gmac: float
    width: int


class MethodTester:
    """Builds every config at full size; trains, scores and saves the distinct ones at small size.

    Attributes:
        full: config -> `Size`.
        small: the configs that are trained; by default those for SYSU-MM01.
        reads: those with a part of fast-reid's that reads values from the device.
    """

    full: ClassVar[dict[str, Size]]
    small: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "full_config" in metafunc.fixturenames:
            metafunc.parametrize("full_config", list(self.full))
        if "config" in metafunc.fixturenames:
            default = [name for name in self.full if name.startswith("SYSU")]
            metafunc.parametrize("config", list(self.small) or default)

    def model(self, config: str, *overrides: str) -> torch.nn.Module:
        torch.manual_seed(0)
        return build_model(small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "6", *overrides))

    def batch(self, config: str, identities: int = 6, instances: int = 2, seed: int = 0) -> dict[str, Any]:
        return batch(identities, instances, views=views_of(small_cfg(config)), seed=seed)

    def test_full_size(self, full_config: str) -> None:
        cfg = get_cfg()
        cfg.merge_from_file(config_path(full_config))
        classes = str(IDENTITIES.get(full_config.split("/")[0], 395))
        cfg.merge_from_list(
            ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", classes]
        )
        model = build_model(cfg).eval()
        expected = self.full[full_config]
        assert sum(p.numel() for p in model.parameters()) == expected.parameters
        height, width = cfg.INPUT.SIZE_TEST
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            features = model(
                {"images": torch.zeros(1, 3, height, width), "modalities": torch.ones(1, dtype=torch.long)}
            )
        assert features.shape == (1, expected.width)
        assert flops.get_total_flops() / 2e9 == pytest.approx(expected.gmac, abs=0.006)

    def test_a_step_reaches_every_parameter_and_twenty_change_them(self, config: str) -> None:
        model = self.model(config).train()
        optimizer = build_optimizer(small_cfg(config), model)
        before = {key: value.clone() for key, value in model.named_parameters()}
        for step in range(20):
            losses = model(self.batch(config, seed=step))
            assert all("loss" in key and value.ndim == 0 and torch.isfinite(value) for key, value in losses.items())
            optimizer.zero_grad()
            sum(losses.values()).backward()
            if step == 0:
                assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
            optimizer.step()
        assert not [key for key, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[key])]

    def test_a_step_reads_nothing_from_the_device(self, config: str) -> None:
        """On the meta device, which has no values, any read ends in an error."""
        model = self.model(config).train().to("meta")
        found = self.batch(config)
        found |= {key: found[key].to("meta") for key in ("images", "targets", "camids")}
        if config in self.reads:
            with pytest.raises((RuntimeError, NotImplementedError)):
                model(found)
            return
        losses = model(found)
        sum(losses.values()).backward()
        assert all(value.device.type == "meta" for value in losses.values())
        with pytest.raises((RuntimeError, NotImplementedError)):
            next(iter(losses.values())).item()

    def test_evaluation_takes_any_mix_order_and_number(self, config: str) -> None:
        model = self.model(config).eval()
        whole = batch(3, 2)
        with torch.no_grad():
            features = model(whole)
            order = torch.randperm(12)
            mixed = {key: value[order] for key, value in whole.items() if key != "img_paths"}
            torch.testing.assert_close(model(mixed), features[order], rtol=1e-4, atol=1e-5)
            for rows in (slice(0, 1), slice(11, 12), slice(0, 6), slice(6, 12)):
                part = {key: value[rows] for key, value in whole.items()}
                torch.testing.assert_close(model(part), features[rows], rtol=1e-4, atol=1e-5)

    def test_images_are_not_written_to_and_uint8_and_float_agree(self, config: str) -> None:
        model = self.model(config).eval()
        whole = batch(2, 1)
        floats = whole | {"images": whole["images"].float()}
        kept = floats["images"].clone()
        with torch.no_grad():
            first, second = model(floats), model(floats)
            torch.testing.assert_close(model(whole), first)
        assert torch.equal(first, second)
        assert torch.equal(floats["images"], kept)

    def test_the_flip_test_sees_the_mirrored_image(self, config: str) -> None:
        """fast-reid flips the batch's images in place of them; the model must not have kept or changed anything."""
        model = self.model(config).eval()
        whole = batch(2, 1)
        with torch.no_grad():
            plain = model(whole)
            mirrored = model(whole | {"images": whole["images"].flip(3)})
            assert torch.equal(model(whole), plain)
        scale = plain.abs().max()
        assert not torch.allclose(plain / scale, mirrored / scale)

    def test_a_checkpoint_gives_the_same_features(self, config: str, tmp_path: Path) -> None:
        model = self.model(config)
        model.train()(self.batch(config))
        VireidCheckpointer(model, str(tmp_path)).save("model")
        other = self.model(config)
        torch.manual_seed(99)
        for parameter in other.parameters():
            torch.nn.init.normal_(parameter)
        VireidCheckpointer(other).load(str(tmp_path / "model.pth"))
        with torch.no_grad():
            torch.testing.assert_close(other.eval()(batch()), model.eval()(batch()), rtol=0, atol=0)

    def test_bf16(self, config: str) -> None:
        # On processors with AMX torch 2.13's bfloat16 convolution of stride 2 gives NaN on maps two pixels wide, which
        # only 64 x 32 images have (docs/speed.md).
        stride = ("MODEL.BACKBONE.LAST_STRIDE", "1")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.manual_seed(1)
            model = self.model(config, *stride).train()
            torch.manual_seed(1)
            half = model(self.batch(config))
        model = self.model(config, *stride).train()
        torch.manual_seed(1)
        full = model(self.batch(config))
        for key, value in half.items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, full[key], rtol=0.15, atol=0.15)

    def test_precise_bn_batches_move_statistics_and_have_no_losses(self, config: str) -> None:
        model = self.model(config).train()
        before = {key: b.clone() for key, b in model.named_buffers() if key.endswith("running_mean")}
        unlabelled = self.batch(config)
        unlabelled["targets"].fill_(-1)
        assert model(unlabelled) == {}
        assert not [key for key, b in model.named_buffers() if key in before and torch.equal(b, before[key])]
