import pytest
import torch
import torch.nn.functional as F
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.attention import MIIM, MapShape
from vireid_plugins.modeling.backbones import build_multi_stream_backbone


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_specifications_parameter_counts_in_resnet_50() -> None:
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.BACKBONE.DEPTH", "50x", "INPUT.SIZE_TRAIN", "[384, 128]")
    stages = build_multi_stream_backbone(cfg).stages
    counts = {name: parameters(stage.attention) for name, stage in stages.items()}
    assert counts == {"stage1": 1_246_720, "stage2": 1_838_080, "stage3": 788_480, "stage4": 3_149_824}
    strides = [getattr(s.attention[0], "copies", [s.attention[0]])[0].compress.stride[0] for s in stages.values()]
    assert strides == [4, 2, 1, 1]


def naive_gate(m: MIIM, x: Tensor) -> Tensor:
    """MIIM written out image by image, head by head, region by region."""
    images = []
    for image in m.norm(x):
        tokens = F.conv2d(image[None], m.compress.weight, m.compress.bias, stride=m.compress.stride)[0]
        d, h, w = tokens.shape
        tokens = torch.stack(
            [
                F.layer_norm(tokens[:, i, j], (d,), m.token_norm.weight, m.token_norm.bias)
                for i in range(h)
                for j in range(w)
            ]
        )
        grid = tokens.view(h, w, d)
        p = m.kv_pool
        pooled = torch.stack([grid[i : i + p, j : j + p].mean((0, 1)) for i in range(0, h, p) for j in range(0, w, p)])
        wq, wk, wv = m.qkv.weight.chunk(3)
        q, k, v = tokens @ wq.T, pooled @ wk.T, pooled @ wv.T
        size = d // m.heads
        heads = []
        for n in range(m.heads):
            cut = slice(n * size, (n + 1) * size)
            scores = (q[:, cut] @ k[:, cut].T / size**0.5).softmax(1)
            heads.append(scores @ v[:, cut])
        mixed = torch.cat(heads, 1) @ m.proj.weight.T + m.proj.bias
        regions = torch.sigmoid(mixed @ m.restore.weight.T + m.restore.bias).T.view(-1, h, w)
        s = m.compress.stride[0]
        images.append(regions.repeat_interleave(s, 1).repeat_interleave(s, 2))
    return torch.stack(images)


@pytest.mark.parametrize(("stride", "kv_pool"), [(1, 1), (2, 2), (2, 1)])
def test_the_gate_is_the_written_out_one(stride: int, kv_pool: int) -> None:
    module = MIIM(16, reduction=2, stride=stride, heads=4, kv_pool=kv_pool).double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 16, 8, 4, dtype=torch.double)
    torch.testing.assert_close(module.gate(x), naive_gate(module, x))
    torch.testing.assert_close(module(x), x * naive_gate(module, x))
    residual = MIIM(16, 2, stride, 4, kv_pool, residual=True).double().eval()
    residual.load_state_dict(module.state_dict())
    torch.testing.assert_close(residual(x), x * (1 + naive_gate(module, x)))


def test_gradients() -> None:
    module = MIIM(8, reduction=2, stride=1, heads=2, kv_pool=1).double()
    x = torch.randn(2, 8, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (7, 6)])
def test_maps_smaller_than_the_pooling_or_not_divisible_keep_their_size(size: tuple[int, int]) -> None:
    stride = 1 if min(size) == 1 else 2
    x = torch.randn(2, 16, *size)
    assert MIIM(16, 2, stride, 4)(x).shape == x.shape


def test_separate_modules_keep_statistics_and_weights_of_their_own() -> None:
    cfg = small_cfg("SYSU/wrim.yml")
    module = MIIM.from_config(cfg, MapShape(stage=1, channels=64, to_last=1))
    x = torch.randn(4, 64, 4, 2)
    x[2:] += 5
    module.train()(x, torch.tensor([0, 0, 1, 1]))
    means = [copy.norm.running_mean.mean() for copy in module.copies]
    assert means[1] - means[0] > 0.4
    assert isinstance(MIIM.from_config(cfg, MapShape(4, 64, 1)), MIIM)


def test_bf16_autocast() -> None:
    module = MIIM(16, 2, 2, 4)
    x = torch.randn(2, 16, 8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x)
    torch.testing.assert_close(out.float(), module(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.ATTENTION.MIIM.HEADS", "7"], "multiple of HEADS 7"),
        (["MODEL.ATTENTION.MIIM.REDUCTION", "[2, 2]"], r"REDUCTION: needs one entry a stage \(4\), got \[2, 2\]"),
        (["MODEL.ATTENTION.MIIM.STRIDE", "[2]"], "STRIDE: needs one entry a stage"),
    ],
)
def test_what_does_not_fit_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MIIM.from_config(small_cfg("SYSU/wrim.yml", *overrides), MapShape(1, 64, 2))
