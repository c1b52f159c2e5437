"""Attention modules against their definitions; MIIM has a file of its own."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from helpers import small_cfg
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.deen.modules import CNL, DEE, MFA, PNL
from vireid_plugins.methods.icre.modules import MPFR, SDCE
from vireid_plugins.methods.idkl.modules import Purifier, modality_head
from vireid_plugins.methods.mscm.modules import ALB
from vireid_plugins.modeling.attention import MapShape, NonLocal, build_map_modules
from vireid_plugins.modeling.heads import GeMAdd


def filled(module: nn.Module) -> nn.Module:
    """The module in evaluation with every weight drawn, so that no zero hides a part."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def by_position(module: NonLocal, x: Tensor) -> Tensor:
    """Wang et al.'s equation: every position sums g over all, weighted by theta . phi / positions."""
    theta, phi, g = (part(x).flatten(2) for part in (module.theta, module.phi, module.g))
    out = torch.zeros_like(theta)
    positions = theta.shape[2]
    for i in range(positions):
        for j in range(positions):
            weight = (theta[:, :, i] * phi[:, :, j]).sum(1, keepdim=True) / positions
            out[:, :, i] += weight * g[:, :, j]
    return x + module.norm(module.W(out.unflatten(2, x.shape[2:])))


def test_non_local_sums_over_positions_and_starts_as_the_identity() -> None:
    module = NonLocal(8, inner=3)
    x = torch.randn(2, 8, 4, 2)
    assert torch.equal(module(x), x)
    filled(module)
    torch.testing.assert_close(module(x), by_position(module, x), rtol=1e-4, atol=1e-5)
    assert NonLocal(8).theta.out_channels == 4


def gem_by_position(x: Tensor) -> Tensor:
    """The cubic mean over positions, values below 1e-6 taken as 1e-6: (B, C, H, W) to (B, C, 1, 1)."""
    pooled = torch.zeros(*x.shape[:2], 1, 1)
    for image, channel in itertools.product(*map(range, x.shape[:2])):
        values = [max(value, 1e-6) ** 3 for value in x[image, channel].flatten().tolist()]
        pooled[image, channel] = (sum(values) / len(values)) ** (1 / 3)
    return pooled


@pytest.mark.parametrize(("mask", "affine"), [("channel", False), ("full", True)])
def test_purifier_is_the_product_of_both_masks(mask: str, affine: bool) -> None:
    """F~ = m_e m_r (F + IN F), and parts are what they are called."""
    module = filled(Purifier(16, reduction=4, mask=mask, affine=affine))
    x = torch.randn(2, 16, 6, 3)
    parts = module.parts(x)
    normalized = module.norm(x)
    pool = gem_by_position if mask == "channel" else (lambda m: m)
    m_e, m_r = module.mask_e(pool(x)), module.mask_r(pool(normalized))
    assert m_e.shape == ((2, 16, 1, 1) if mask == "channel" else x.shape)
    torch.testing.assert_close(parts.purified, m_e * m_r * (x + normalized))
    torch.testing.assert_close(parts.discriminative, m_e * x)
    torch.testing.assert_close(parts.kept, m_r * normalized)
    torch.testing.assert_close(module(x), parts.purified)
    if not affine:
        torch.testing.assert_close(normalized.mean((2, 3)), torch.zeros(2, 16), atol=1e-5, rtol=0)


def test_purifier_channel_mask_r_varies_over_channels_and_images_and_learns() -> None:
    """The average of IN(F) is 0: pooled so, m_r would be 0.5 everywhere and W3, W4 would get no gradient."""
    torch.manual_seed(0)
    module = Purifier(16, reduction=4)
    x = torch.randn(3, 16, 6, 4).relu()
    parts = module.parts(x)
    m_r = module.mask_r(gem_by_position(parts.normalized))
    torch.testing.assert_close(parts.kept, m_r * parts.normalized)
    over_images, over_channels = m_r.std(0), m_r.std(1)
    assert over_images.min() > 1e-5
    assert over_images.mean() > 1e-3
    assert over_channels.min() > 1e-2
    parts.purified.square().mean().backward()
    w3, w4 = (module.mask_r[layer].weight.grad for layer in (0, 2))
    # W3 is read through a ReLU, so that single rows may rest.
    assert w3.abs().sum() > 1e-4
    assert (w4.abs().sum((1, 2, 3)) > 1e-8).all()


def test_purifier_channel_masks_inside_autocast_pool_in_float32() -> None:
    """In bfloat16 the cubes of 384 positions would lose their last five bits of eight."""
    torch.manual_seed(0)
    module = Purifier(16, reduction=4)
    x = torch.randn(2, 16, 24, 16).relu().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = module._pool(x)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, gem_by_position(x.float()), rtol=1e-5, atol=1e-6)


def test_purifier_channel_mask_of_a_dead_channel_has_finite_gradients() -> None:
    module = Purifier(8, reduction=2)
    x = torch.zeros(2, 8, 4, 2, requires_grad=True)
    module(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_alb_of_a_deep_and_a_shallow_map_equals_its_formula() -> None:
    module = filled(ALB(12, 6, scale=2, size=(4, 3), inner=8, head_dim=3))
    x, shallow = torch.randn(2, 12, 4, 3), torch.randn(2, 6, 8, 6)
    d = module.deep_norm(module.narrow(x).flatten(2))
    s = module.shallow_norm(module.shallow(shallow).flatten(2))
    assert d.shape == s.shape == (2, 8, 12)
    d = d + 0.1 * s
    y = d + module.attention(s, s, d)[0]
    h = module.mlp[0](module.mlp_norm(y))
    y = y + module.mlp[2](h * torch.sigmoid(1.702 * h))
    expected = module.broad(y.reshape(2, 8, 4, 3))
    torch.testing.assert_close(module(x, [shallow]), expected)
    module.residual = True
    torch.testing.assert_close(module(x, [shallow]), expected + x)


def test_alb_of_a_map_with_itself_equals_its_formula_and_misfits_are_errors() -> None:
    module = filled(ALB(12, 0, scale=0, size=(4, 3), inner=8, head_dim=4))
    x = torch.randn(2, 12, 4, 3)
    d = module.deep_norm(module.narrow(x).flatten(2))
    y = d + module.attention(d, d, d)[0]
    expected = module.broad((y + module.mlp(module.mlp_norm(y))).reshape(2, 8, 4, 3))
    torch.testing.assert_close(module(x, [x]), expected)
    assert not hasattr(module, "shallow")
    with pytest.raises(ConfigError, match=r"5 does not divide the 4 x 3 = 12 positions.*these do: 1, 2, 3, 4, 6, 12"):
        ALB(12, 0, scale=0, size=(4, 3), inner=8, head_dim=5)
    with pytest.raises(ConfigError, match=r"SIZE_TEST: must equal INPUT\.SIZE_TRAIN"):
        module(torch.randn(1, 12, 5, 3), [])


def test_mfa_is_cnl_then_pnl_and_starts_as_the_identity() -> None:
    module = MFA(8, 4, stride=2, fold=True)
    x, low = torch.randn(2, 8, 4, 2), torch.randn(2, 4, 8, 4)
    assert torch.equal(module(x, [low]), x)
    filled(module)
    torch.testing.assert_close(module(x, [low]), module.pnl(module.cnl(x, low), low))
    cnl: CNL = module.cnl
    theta, phi, g = cnl.theta(x).flatten(2), cnl.phi(low).flatten(2), cnl.g(low).flatten(2)
    energy = torch.einsum("bip,bjp->bij", theta, phi) / 4
    mixed = torch.einsum("bij,bjp->bip", energy, g).unflatten(2, (4, 2))
    torch.testing.assert_close(cnl(x, low), x + cnl.norm(cnl.W(mixed)))


@pytest.mark.parametrize("fold", [False, True])
def test_pnl_over_positions_or_folded_pairs_equals_its_formula(fold: bool) -> None:
    module: PNL = filled(PNL(8, 4, 2, fold))
    x, low = torch.randn(2, 8, 4, 2), torch.randn(2, 4, 4, 2)
    theta, phi, g = (part.flatten(2) for part in (module.theta(x), module.phi(low), module.g(low)))
    if fold:
        theta, phi, g = (part.reshape(2, 4, 4) for part in (theta, phi, g))
    energy = torch.einsum("bci,bcj->bij", theta, phi) / phi.shape[2]
    mixed = torch.einsum("bij,bcj->bci", energy, g).reshape(2, 2, 4, 2)
    torch.testing.assert_close(module(x, low), x + module.norm(module.W(mixed)), rtol=1e-4, atol=1e-5)


def test_dee_keeps_the_map_and_adds_two_embeddings() -> None:
    module = filled(DEE(8, 0.01))
    x = torch.randn(3, 8, 6, 4)
    out = module(x)
    assert out.shape == (9, 8, 6, 4)
    assert torch.equal(out[:3], x)
    for number in range(2):
        mean = sum(conv(x) for conv in module.dilated[number]) / 3
        torch.testing.assert_close(out[3 * number + 3 : 3 * number + 6], module.out[number](mean.relu()))
    module.train()
    assert not torch.equal(module(x), out)


def test_sdce_is_the_identity_at_the_start_and_takes_other_sizes() -> None:
    module = SDCE(12, size=(4, 2), dim=16, heads=4).eval()
    for size in ((4, 2), (6, 3)):
        x, guide = torch.randn(2, 12, *size), torch.randn(2, 16, *size)
        assert torch.equal(module(x, [guide]), x)
    filled(module)
    assert not torch.allclose(module(x, [guide]), module(x, [guide + 1]))


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_mpfr_in_every_form_equals_its_formula(softmax: bool, fusion: str) -> None:
    module = filled(MPFR([4, 6], dim=8, softmax=softmax, fusion=fusion))
    deep, maps = torch.randn(2, 3, 4, 2), [torch.randn(2, 4, 8, 4), torch.randn(2, 6, 4, 2)]
    aligned = [F.adaptive_avg_pool2d(a(m), (4, 2)) for a, m in zip(module.align, maps, strict=True)]
    scores = [mask(a) for mask, a in zip(module.mask, aligned, strict=True)]
    top = torch.stack(scores)
    masks = top.softmax(0) if softmax else top.sigmoid()
    masked = [m * a for m, a in zip(masks, aligned, strict=True)]
    expected = module.fuse(masked[0] + masked[1] if fusion == "sum" else torch.cat(masked, 1))
    torch.testing.assert_close(module(deep, maps), expected)
    with pytest.raises(ConfigError, match="concat, sum"):
        MPFR([4], 8, False, "mean")


def test_build_map_modules_with_a_module_that_relates_several_maps_is_one_error() -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.ATTENTION.STAGE2", "['MFA']")
    with pytest.raises(ConfigError, match="unknown value 'MFA'; available: "):
        build_map_modules(cfg, [MapShape(2, 8, 2)] * 2)
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.ATTENTION.STAGE2", "['NonLocal@0', 'Purifier']")
    (first, non_local), (last, purifier) = build_map_modules(cfg, [MapShape(2, 32, 2)] * 2)
    assert (first, last) == (0, 1)
    assert isinstance(non_local, NonLocal)
    assert isinstance(purifier, Purifier)


def test_gem_add_of_zero_and_negative_maps_adds_and_does_not_clamp() -> None:
    x = torch.rand(2, 3, 4, 2)
    x[:, 0] = 0
    found = GeMAdd()(x)
    expected = ((x.double() ** 3).mean((2, 3), keepdim=True) + 1e-12) ** (1 / 3)
    torch.testing.assert_close(found, expected.float())
    # Zero channels: 1e-4 here, 1e-6 in fast-reid's form.
    assert found[0, 0].item() == pytest.approx(1e-4, rel=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert GeMAdd()(x.bfloat16()).dtype == torch.float32
    negative = -torch.rand(1, 2, 4, 2)
    negative.requires_grad_()
    pooled = GeMAdd()(negative)
    (gradient,) = torch.autograd.grad(pooled.sum(), negative)
    torch.testing.assert_close(pooled, torch.full_like(pooled, 1e-4))
    assert gradient.abs().max() == 0


def test_modality_head_has_two_classes_and_may_reverse() -> None:
    head, reversed_ = modality_head(6), modality_head(6, reverse=1.0)
    for target, source in zip(reversed_[1:], head, strict=True):
        target.load_state_dict(source.state_dict())
    x = torch.randn(4, 6, requires_grad=True)
    gradients = []
    for module in (head, reversed_):
        (gradient,) = torch.autograd.grad(module.eval()(x).square().sum(), x)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0], -gradients[1])
    assert head(x).shape == (4, 2)
