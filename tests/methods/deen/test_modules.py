"""DEEN's MFA and DEE: strides, initial values, range."""

from collections.abc import Callable

import pytest
import torch
from intermediates import watched
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.deen.modules import CNL, DEE, MFA, PNL


def drawn(module: nn.Module) -> nn.Module:
    """The module in float64 and evaluation, every weight drawn, so that no zero hides a part."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double().eval()


def pnl_by_loops(module: PNL, x: Tensor, low: Tensor) -> Tensor:
    """The released code: C rows of C / 2 channels, positions of the high map against all of the low map's."""
    B, rows = len(x), 2 * module.theta.out_channels
    theta, phi, g = (part.reshape(B, rows, -1) for part in (module.theta(x), module.phi(low), module.g(low)))
    mixed = torch.zeros_like(theta)
    for i in range(theta.shape[2]):
        for j in range(phi.shape[2]):
            score = (theta[:, :, i] * phi[:, :, j]).sum(1, keepdim=True) / phi.shape[2]
            mixed[:, :, i] += score * g[:, :, j]
    return x + module.norm(module.W(mixed.reshape(B, -1, *x.shape[2:])))


def cnl_by_loops(module: CNL, x: Tensor, low: Tensor) -> Tensor:
    """The released code: phi and W are strided, g is not."""
    theta, phi = module.theta(x).flatten(2), module.phi(low).flatten(2)
    g = nn.functional.conv2d(low, module.g.weight, module.g.bias)
    mixed = torch.zeros_like(g)
    for i in range(theta.shape[1]):
        for j in range(phi.shape[1]):
            score = (theta[:, i] * phi[:, j]).sum(1) / phi.shape[1]
            mixed[:, i] += score[:, None, None] * g[:, j]
    strided = nn.functional.conv2d(mixed, module.W.weight, module.W.bias, stride=module.phi.stride)
    return x + module.norm(strided)


def test_mfa_of_a_map_twice_as_high_strides_cnl_and_never_pnl() -> None:
    module: MFA = drawn(MFA(8, 4, stride=2, fold=True))
    x, low = torch.randn(2, 8, 4, 2).double(), torch.randn(2, 4, 8, 4).double()
    assert [part.stride for part in (module.pnl.phi, module.pnl.g, module.cnl.phi)] == [(1, 1), (1, 1), (2, 2)]
    torch.testing.assert_close(module.cnl(x, low), cnl_by_loops(module.cnl, x, low))
    torch.testing.assert_close(module.pnl(x, low), pnl_by_loops(module.pnl, x, low))
    # Every position of the low map counts.
    low.requires_grad_()
    (gradient,) = torch.autograd.grad(module.pnl(x, low).square().sum(), low)
    assert (gradient.abs().sum((0, 1)) > 1e-6).all()


def test_pnl_with_an_odd_number_of_positions_folds_nothing() -> None:
    x, low = torch.randn(2, 8, 5, 3).double(), torch.randn(2, 4, 10, 6).double()
    with pytest.raises(ConfigError, match=r"PNL_FOLD: the 5 x 3 positions of a feature map cannot be folded"):
        drawn(PNL(8, 4, 2, True))(x, low)
    assert drawn(PNL(8, 4, 2, False))(x, low).shape == x.shape


def test_dee_starts_kaiming_normal_with_torchs_biases() -> None:
    torch.manual_seed(0)
    module = DEE(1024, 0.01)
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            # sqrt(2 / fan-in), and normal: of an even distribution the largest would be 1.7 times that.
            expected = 0.0147 if conv.kernel_size == (3, 3) else 0.0884
            assert conv.weight.std().item() == pytest.approx(expected, rel=0.01)
            assert conv.weight.abs().max() > 4 * expected
    for conv in module.out:
        # Evenly within 1 / sqrt(fan-in).
        assert conv.bias.abs().max() <= 1 / 16
        assert conv.bias.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.1)


def released_cnl(module: CNL, x: Tensor, low: Tensor) -> Tensor:
    theta, phi, g = module.theta(x).flatten(2), module.phi(low).flatten(2), module.g(low).flatten(2)
    energy = theta @ phi.transpose(1, 2)
    return module.added(x, energy / energy.shape[2] @ g)


def released_pnl(module: PNL, x: Tensor, low: Tensor) -> Tensor:
    theta, phi, g = (p.reshape(1, module.rows, -1) for p in (module.theta(x), module.phi(low), module.g(low)))
    energy = theta.transpose(1, 2) @ phi
    return module.added(x, (energy / energy.shape[2] @ g.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize(("make", "released"), [(CNL, released_cnl), (PNL, released_pnl)])
def test_mfa_at_ten_times_unit_activations_stays_in_float16(
    make: type[nn.Module], released: Callable[..., Tensor]
) -> None:
    """The largest intermediate in float32 against float16's range, and against that of the released order."""
    torch.manual_seed(0)
    module = (CNL(512, 256, 256, 2) if make is CNL else PNL(512, 256, 128, True)).eval()
    for part in (module.theta, module.phi, module.g):
        nn.init.normal_(part.weight, std=part.in_channels**-0.5)
    x, low = 10 * torch.randn(1, 512, 48, 18), 10 * torch.randn(1, 256, 96, 36)
    with torch.no_grad():
        _, largest, _ = watched(lambda: module(x, low))
        _, released_largest, _ = watched(lambda: released(module, x, low))
        assert largest < 65504
        assert largest <= released_largest
        module.double()
        found, expected = module(x.double(), low.double()), released(module, x.double(), low.double())
    assert (found - expected).norm() < 1e-14 * expected.norm()
