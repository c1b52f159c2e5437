from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.wrim.modules import MIIM
from vireid_plugins.modeling.attention import MapShape
from vireid_plugins.modeling.backbones import build_multi_stream_backbone


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_miim_in_resnet_50_has_the_specified_parameter_counts() -> None:
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.BACKBONE.DEPTH", "50x", "INPUT.SIZE_TRAIN", "[384, 128]")
    stages = build_multi_stream_backbone(cfg).stages
    counts = {name: parameters(stage.attention) for name, stage in stages.items()}
    assert counts == {"stage1": 1_246_720, "stage2": 1_838_080, "stage3": 788_480, "stage4": 3_149_824}
    strides = [getattr(s.attention[0], "copies", [s.attention[0]])[0].compress.stride[0] for s in stages.values()]
    assert strides == [4, 2, 1, 1]


def naive_gate(m: MIIM, x: Tensor) -> Tensor:
    """MIIM written out image by image, head by head, region by region."""
    s_h, s_w = m.stride
    H, W = x.shape[2:]
    h, w = -(-H // s_h), -(-W // s_w)
    images = []
    for image in m.norm(x):
        tokens = []
        for i in range(h):
            for j in range(w):
                region = image[:, i * s_h : (i + 1) * s_h, j * s_w : (j + 1) * s_w]
                weight = m.compress.weight[:, :, : region.shape[1], : region.shape[2]]
                token = torch.einsum("dcij,cij->d", weight, region) + m.compress.bias
                tokens.append(F.layer_norm(token, token.shape, m.token_norm.weight, m.token_norm.bias))
        tokens = torch.stack(tokens)
        d = tokens.shape[1]
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
        rows, columns = torch.arange(H) // s_h, torch.arange(W) // s_w
        images.append(regions[:, rows][:, :, columns])
    return torch.stack(images)


def lively(stride: int | tuple[int, int] = 1, kv_pool: int = 2, **more: Any) -> MIIM:
    """A module whose parameters are large enough for every gate to differ."""
    torch.manual_seed(0)
    module = MIIM(16, reduction=2, stride=stride, heads=4, kv_pool=kv_pool, **more).double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module


# Map sizes that the stride, the pooling, neither or both divide.
FORMS = [
    (1, 1, (8, 4)), (2, 2, (8, 4)), (2, 1, (8, 4)), ((4, 2), 2, (16, 8)), (1, 2, (9, 5)), (4, 2, (18, 9)),
    ((2, 3), 2, (7, 7)), ((5, 1), 1, (8, 3)), (2, 4, (5, 9)),
]  # fmt: skip


@pytest.mark.parametrize(("stride", "kv_pool", "size"), FORMS)
def test_miim_gate_equals_the_written_out_one(
    stride: int | tuple[int, int], kv_pool: int, size: tuple[int, int]
) -> None:
    module = lively(stride, kv_pool)
    x = torch.randn(3, 16, *size, dtype=torch.double)
    torch.testing.assert_close(module.gate(x), naive_gate(module, x))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("operand", ["raw", "normalized", "relu"])
def test_miim_output_is_the_operand_times_the_gate(operand: str, residual: bool) -> None:
    module = lively(residual=residual, operand=operand)
    x = torch.randn(3, 16, 4, 2, dtype=torch.double)
    mean, var = (s.view(1, -1, 1, 1) for s in (module.norm.running_mean, module.norm.running_var))
    normalized = (x - mean) / (var + module.norm.eps).sqrt()
    factor = {"raw": x, "normalized": normalized, "relu": normalized.clamp_min(0)}[operand]
    torch.testing.assert_close(module(x), factor * (residual + naive_gate(module, x)))


@pytest.mark.parametrize("operand", ["raw", "normalized", "relu"])
def test_miim_statistics_move_once_a_step(operand: str) -> None:
    module = MIIM(16, 2, 1, heads=4, operand=operand).train()
    module(torch.randn(2, 16, 4, 2))
    assert module.norm.num_batches_tracked == 1


def test_miim_queries_keys_and_gate_learn_and_the_gate_varies_in_space() -> None:
    """With one key it would be 0 gradient for W_q and W_k and one gate for all positions."""
    torch.manual_seed(0)
    module = MIIM(16, reduction=2, stride=1, heads=4, kv_pool=2).double().train()
    x = torch.randn(2, 16, 4, 2, dtype=torch.double)
    gate = module.gate(x)
    assert (gate.flatten(2).std(2) > 1e-6).all()
    (gate * torch.randn_like(gate)).sum().backward()
    for part in (*module.qkv.weight.grad.chunk(3), module.restore.weight.grad, module.proj.weight.grad):
        assert (part.norm(dim=1) > 1e-9).all()


@pytest.mark.parametrize(("stride", "size"), [(1, (18, 9)), (2, (18, 9)), (4, (18, 9)), ((4, 4), (73, 37))])
def test_miim_gate_of_the_first_region_sees_every_row_and_column(
    stride: int | tuple[int, int], size: tuple[int, int]
) -> None:
    """An image of 288 x 144 pixels has maps of 18 x 9, one of 292 x 148 has 73 x 37 before them."""
    module = lively(stride)
    x = torch.randn(1, 16, *size, dtype=torch.double, requires_grad=True)
    (grad,) = torch.autograd.grad(module.gate(x)[:, :, 0, 0].sum(), x)
    assert grad.abs().sum((0, 1, 3)).min() > 1e-9
    assert grad.abs().sum((0, 1, 2)).min() > 1e-9


def test_miim_gradients_equal_numerical_ones() -> None:
    module = MIIM(8, reduction=2, stride=1, heads=2, kv_pool=1).double()
    x = torch.randn(2, 8, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


@pytest.mark.parametrize(
    ("size", "stride", "kv_pool", "numbers"),
    [
        (
            (1, 1),
            1,
            1,
            "1 x 1 feature map at stride 1 x 1 is a grid of 1 x 1 = 1 queries, and with KV_POOL 1 there are 1 x 1 = 1",
        ),
        (
            (2, 2),
            1,
            2,
            "2 x 2 feature map at stride 1 x 1 is a grid of 2 x 2 = 4 queries, and with KV_POOL 2 there are 1 x 1 = 1",
        ),
        ((6, 3), (3, 2), 2, "6 x 3 feature map at stride 3 x 2 is a grid of 2 x 2 = 4 queries"),
        ((5, 3), 9, 1, "5 x 3 feature map at stride 9 x 9 is a grid of 1 x 1 = 1 queries"),
    ],
)
def test_miim_with_fewer_than_two_keys_is_one_error(
    size: tuple[int, int], stride: int | tuple[int, int], kv_pool: int, numbers: str
) -> None:
    x = torch.randn(2, 16, *size)
    with pytest.raises(ConfigError, match=f"MIIM: the {numbers}.*KV_POOL 1, .*LAST_STRIDE 1.*SIZE_TRAIN.*STRIDE$"):
        MIIM(16, 2, stride, heads=4, kv_pool=kv_pool)(x)


def test_miim_with_two_keys_is_computed() -> None:
    assert MIIM(16, 2, 1, heads=4)(torch.randn(2, 16, 3, 1)).shape == (2, 16, 3, 1)


@pytest.mark.parametrize(
    ("key", "start"),
    [
        (
            "INPUT.SIZE_TRAIN",
            r"MODEL.ATTENTION.STAGE1: MIIM at INPUT.SIZE_TRAIN \[32, 32\]: the 8 x 8 feature map at stride 4 x 4 ",
        ),
        (
            "INPUT.SIZE_TEST",
            r"MODEL.ATTENTION.STAGE1: MIIM at INPUT.SIZE_TEST \[32, 32\]: the 8 x 8 feature map at stride 4 x 4 ",
        ),
    ],
)
def test_build_multi_stream_backbone_with_fewer_than_two_keys_is_one_error(key: str, start: str) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.ATTENTION.MIIM.STRIDE", "[4, 2, 1, 1]", key, "[32, 32]")
    with pytest.raises(ConfigError, match=start):
        build_multi_stream_backbone(cfg)


@pytest.mark.parametrize(
    ("size", "strides", "grids"),
    [
        ((288, 144), [(4, 4), (2, 2), (1, 1), (1, 1)], [(18, 9)] * 4),
        ((292, 148), [(4, 4), (2, 2), (1, 1), (1, 1)], [(19, 10)] * 4),
        ((256, 80), [(4, 4), (2, 2), (1, 1), (1, 1)], [(16, 5)] * 4),
        # Maps of 9, 5 and 3 columns.
        ((64, 36), [(4, 3), (2, 2), (1, 1), (1, 1)], [(4, 3)] * 4),
    ],
)
def test_miim_stride_by_default_gives_every_stage_the_grid_of_the_last(
    size: tuple[int, int], strides: list[tuple[int, int]], grids: list[tuple[int, int]]
) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size)))
    backbone = build_multi_stream_backbone(cfg)
    modules = [module for module in backbone.modules() if isinstance(module, MIIM)]
    modules = [modules[n] for n in (0, 2, 4, 5)]
    assert [module.stride for module in modules] == strides
    seen = [
        tuple(-(-n // s) for n, s in zip(backbone.sizes[f"stage{stage}"], module.stride, strict=True))
        for stage, module in enumerate(modules, start=1)
    ]
    assert seen == grids


def test_miim_stride_takes_a_pair_for_each_stage() -> None:
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.ATTENTION.MIIM.STRIDE", "[[8, 4], 2, [1, 2], 1]")
    module = MIIM.from_config(cfg, MapShape(3, 64, 1))
    assert module.compress.kernel_size == module.compress.stride == (1, 2)


def test_miim_of_each_modality_keeps_statistics_and_weights_of_its_own() -> None:
    cfg = small_cfg("SYSU/wrim.yml")
    module = MIIM.from_config(cfg, MapShape(stage=1, channels=64, to_last=1))
    x = torch.randn(4, 64, 4, 2)
    x[2:] += 5
    module.train()(x, torch.tensor([0, 0, 1, 1]))
    means = [copy.norm.running_mean.mean() for copy in module.copies]
    assert means[1] - means[0] > 0.4
    assert isinstance(MIIM.from_config(cfg, MapShape(4, 64, 1)), MIIM)


def test_miim_under_bf16_autocast_is_near_float32() -> None:
    module = MIIM(16, 2, 2, heads=4)
    x = torch.randn(2, 16, 8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x)
    torch.testing.assert_close(out.float(), module(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.ATTENTION.MIIM.HEADS", "7"], "multiple of HEADS 7"),
        (["MODEL.ATTENTION.MIIM.REDUCTION", "[2, 2]"], r"REDUCTION: needs one entry per stage \(4\), got \[2, 2\]"),
        (["MODEL.ATTENTION.MIIM.STRIDE", "[2]"], "STRIDE: needs one entry per stage"),
        (["MODEL.ATTENTION.MIIM.STRIDE", "[[2, 1, 1], 2, 1, 1]"], r"STRIDE: each entry must be .* got \[2, 1, 1\]"),
        (["MODEL.ATTENTION.MIIM.STRIDE", "[0, 2, 1, 1]"], "STRIDE: each entry must be .* got 0"),
        (["MODEL.ATTENTION.MIIM.KV_POOL", "0"], "KV_POOL: must be at least 1"),
        (["MODEL.ATTENTION.MIIM.OPERAND", "norm"], "OPERAND: unknown value 'norm'; available: normalized, raw, relu"),
    ],
)
def test_miim_with_settings_that_do_not_fit_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MIIM.from_config(small_cfg("SYSU/wrim.yml", *overrides), MapShape(1, 64, 2))
