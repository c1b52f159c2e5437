"""Tests that every method must pass. A method's test inherits the class and lists its configs."""

import copy
import functools
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg, views_of
from torch.utils.flop_counter import FlopCounterMode

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine import VireidCheckpointer
from vireid_plugins.engine.optimizer import build_optimizer

# Training identities of the real sets.
IDENTITIES = {"SYSU": 395, "RegDB": 206, "LLCM": 713}


@functools.lru_cache(maxsize=3)
def built(config: str, *overrides: str) -> torch.nn.Module:
    """A small network, for tests that score with it or copy it; not to be changed."""
    torch.manual_seed(0)
    return build_model(small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "6", *overrides)).eval()


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """The network, in which nothing is left to chance: what is dropped in half precision depends on torch's version."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    return model


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
        costly: those of `small` that are left to the slow tests.
        counted_on: the device of the full size. Of torch's own module of attention the CPU counts other operations.
    """

    full: ClassVar[dict[str, Size]]
    small: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()
    costly: ClassVar[tuple[str, ...]] = ()
    counted_on: ClassVar[str] = "meta"

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "full_config" in metafunc.fixturenames:
            # Those of other sets differ from that for SYSU-MM01 in their classes and sizes, and DEEN's in its stages.
            slow = ("own", "LLCM") if "RegDB/deen.yml" in self.full else ("own", "LLCM", "RegDB")
            marked = [pytest.param(n, marks=pytest.mark.slow if n.startswith(slow) else ()) for n in self.full]
            metafunc.parametrize("full_config", marked)
        if "config" in metafunc.fixturenames:
            default = [name for name in self.full if name.startswith("SYSU")]
            # The demo's are those for SYSU-MM01 at another size, at which they take a step in test_methods.
            slow = [name for name in self.small if name.startswith("demo") or name in self.costly]
            marked = [pytest.param(name, marks=pytest.mark.slow) for name in slow]
            metafunc.parametrize("config", [name for name in self.small or default if name not in slow] + marked)

    def model(self, config: str, *overrides: str) -> torch.nn.Module:
        """A network of the test's own, in training mode."""
        torch.manual_seed(0)
        return copy.deepcopy(built(config, *overrides)).train()

    def batch(self, config: str, identities: int = 6, instances: int = 2, seed: int = 0) -> dict[str, Any]:
        return batch(identities, instances, views=views_of(small_cfg(config)), seed=seed)

    def test_build_model_has_the_published_size(self, full_config: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where it can be on the meta device, on which weights take no time and no memory."""

        # On a CPU attention is one operation, which torch's counter leaves out; here its parts would be counted.
        def attention(query: torch.Tensor, _: torch.Tensor, value: torch.Tensor, **options: float) -> torch.Tensor:
            return query.new_empty(*query.shape[:-1], value.shape[-1])

        if self.counted_on == "meta":
            monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
            # fast-reid's ViT reads its rates of drop path.
            monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
        cfg = get_cfg()
        cfg.merge_from_file(config_path(full_config))
        classes = str(IDENTITIES.get(full_config.split("/")[0], 395))
        cfg.merge_from_list(
            ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", self.counted_on, "MODEL.HEADS.NUM_CLASSES", classes]
        )
        with torch.device(self.counted_on):
            model = build_model(cfg).eval()
        expected = self.full[full_config]
        assert sum(p.numel() for p in model.parameters()) == expected.parameters
        height, width = cfg.INPUT.SIZE_TEST
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            images = torch.zeros(1, 3, height, width, device=self.counted_on)
            features = model({"images": images, "modalities": torch.ones(1, dtype=torch.long)})
        assert features.shape == (1, expected.width)
        assert flops.get_total_flops() / 2e9 == pytest.approx(expected.gmac, abs=0.006)

    def test_steps_reach_and_change_every_parameter(self, config: str) -> None:
        """The first step gives every one a gradient. What is behind a factor of zero moves a little later."""
        model = self.model(config)
        optimizer = build_optimizer(small_cfg(config), model)
        waiting = {key: value.detach().clone() for key, value in model.named_parameters() if value.requires_grad}
        for step in range(20):
            losses = model(self.batch(config, seed=step))
            assert all("loss" in key and value.ndim == 0 and torch.isfinite(value) for key, value in losses.items())
            optimizer.zero_grad()
            sum(losses.values()).backward()
            if step == 0:
                assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
            optimizer.step()
            now = dict(model.named_parameters())
            waiting = {key: value for key, value in waiting.items() if torch.equal(value, now[key])}
            if not waiting and step >= 2:
                break
        assert not list(waiting)

    def test_step_reads_nothing_from_the_device(self, config: str) -> None:
        """On the meta device, which has no values, any read ends in an error."""
        model = self.model(config).to("meta")
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

    def test_evaluation_takes_images_in_any_mix_order_and_number(self, config: str) -> None:
        # In double precision: of maps of eight pixels an instance norm magnifies what rounding leaves.
        model = built(config).double()
        whole = batch(3, 2)
        with torch.no_grad():
            features = model(whole)
            order = torch.randperm(12)
            mixed = {key: value[order] for key, value in whole.items() if key != "img_paths"}
            torch.testing.assert_close(model(mixed), features[order], rtol=1e-7, atol=1e-9)
            for rows in (slice(0, 1), slice(11, 12), slice(0, 6), slice(6, 12)):
                part = {key: value[rows] for key, value in whole.items()}
                torch.testing.assert_close(model(part), features[rows], rtol=1e-7, atol=1e-9)

    def test_evaluation_leaves_images_alone_and_takes_uint8_and_float(self, config: str) -> None:
        model = built(config)
        whole = batch(2, 1)
        floats = whole | {"images": whole["images"].float()}
        kept = floats["images"].clone()
        with torch.no_grad():
            first, second = model(floats), model(floats)
            torch.testing.assert_close(model(whole), first)
        assert torch.equal(first, second)
        assert torch.equal(floats["images"], kept)

    def test_evaluation_sees_mirrored_images(self, config: str) -> None:
        """fast-reid flips the batch's images in place of them; the model must not have kept or changed anything."""
        model = built(config)
        whole = batch(2, 1)
        with torch.no_grad():
            plain = model(whole)
            mirrored = model(whole | {"images": whole["images"].flip(3)})
            assert torch.equal(model(whole), plain)
        scale = plain.abs().max()
        assert not torch.allclose(plain / scale, mirrored / scale)

    def test_checkpoint_gives_the_same_features(self, config: str, tmp_path: Path) -> None:
        model = self.model(config)
        model(self.batch(config))
        VireidCheckpointer(model, str(tmp_path)).save("model")
        other = self.model(config)
        torch.manual_seed(99)
        for parameter in other.parameters():
            torch.nn.init.normal_(parameter)
        VireidCheckpointer(other).load(str(tmp_path / "model.pth"))
        with torch.no_grad():
            torch.testing.assert_close(other.eval()(batch()), model.eval()(batch()), rtol=0, atol=0)

    def test_step_in_bf16_is_near_float32(self, config: str) -> None:
        # On processors with AMX torch 2.13's bfloat16 convolution of stride 2 gives NaN on maps two pixels wide, which
        # only 64 x 32 images have (docs/speed.md).
        stride = ("MODEL.BACKBONE.LAST_STRIDE", "1")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.manual_seed(1)
            model = without_dropout(self.model(config, *stride))
            torch.manual_seed(1)
            half = model(self.batch(config))
        model = without_dropout(self.model(config, *stride))
        torch.manual_seed(1)
        full = model(self.batch(config))
        for key, value in half.items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, full[key], rtol=0.15, atol=0.15)

    def test_step_on_precise_bn_batches_moves_statistics_without_losses(self, config: str) -> None:
        model = self.model(config)
        before = {key: b.clone() for key, b in model.named_buffers() if key.endswith("running_mean")}
        unlabelled = self.batch(config)
        unlabelled["targets"].fill_(-1)
        assert model(unlabelled) == {}
        assert not [key for key, b in model.named_buffers() if key in before and torch.equal(b, before[key])]
