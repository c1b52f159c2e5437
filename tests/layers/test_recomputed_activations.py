"""Networks that recompute their activations give the gradients of those that store them, to the bit."""

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from vireid_plugins.layers import recomputed_activations as recomputed
from vireid_plugins.layers.recomputed_activations import recomputed_activations


def downsample(planes: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(8, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))


def blocks(kind: Any, **keys: Any) -> nn.Module:
    """Two blocks behind a stem, the first of which changes stride and width."""
    width = 4 * kind.expansion
    first = kind(8, 4, "BN", stride=2, downsample=downsample(width, 2), **keys)
    stem = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*stem, first, kind(width, 4, "BN", **keys), kind(width, 4, "BN", **keys))


class Odd(nn.Module):
    """ReLUs of something else than a norm's output alone, twice used outputs, and a norm in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(4))
        self.relu, self.other = nn.ReLU(inplace=True), nn.ReLU()
        self.last = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.norms[3].eval()
        first = self.relu(self.norms[0](self.conv(x)))
        second = self.norms[1](first)
        second += first
        # Not the output of a block, although a sum with a norm's output.
        second = self.relu(second)
        third = self.relu(self.norms[2](second) * 2)
        third = third + self.other(self.norms[3](self.relu(self.norms[0](second))))
        return self.last(third) * first


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "basic": lambda: blocks(BasicBlock),
    "bottleneck": lambda: blocks(Bottleneck),
    "squeeze": lambda: blocks(Bottleneck, with_se=True, reduction=2),
    "instance norm": lambda: blocks(Bottleneck, with_ibn=True),
    "odd": Odd,
}


def gradients(model: nn.Module, images: Tensor, again: int = 1, recompute: bool = True) -> dict[str, Tensor]:
    """Return gradients and buffers after a step; `again` times backward through one graph."""
    images = images.clone().requires_grad_()
    with recomputed_activations(model) if recompute else nullcontext():
        loss = model(images).square().mean()
    for left in reversed(range(again)):
        loss.backward(retain_graph=left > 0)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"images": images.grad, **found, **dict(model.named_buffers())}  # type: ignore[dict-item]


@contextmanager
def stored() -> Iterator[list[int]]:
    """Collect the bytes of what is stored, a tensor once however often it is stored."""
    found: dict[int, tuple[Tensor, int]] = {}
    sizes: list[int] = []
    plain = recomputed._Recorder.pack

    def pack(recorder: Any, tensor: Tensor) -> Any:
        packed = plain(recorder, tensor)
        if packed is tensor and not isinstance(tensor, nn.Parameter):
            # Kept here so that no address is used twice.
            found[tensor.data_ptr()] = (tensor, tensor.nbytes)
        return packed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recomputed._Recorder, "pack", pack)
        yield sizes
    sizes.append(sum(size for _, size in found.values()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("again", [1, 2])
def test_recomputed_activations_give_the_same_gradients(name: str, again: int) -> None:
    torch.manual_seed(0)
    model, images = NETWORKS[name](), torch.randn(4, 3, 22, 14)
    plain = gradients(copy.deepcopy(model), images, again, recompute=False)
    found = gradients(model, images, again)
    assert list(found) == list(plain)
    for key, value in plain.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_recomputed_activations_in_another_precision_give_the_same_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, images = blocks(Bottleneck), torch.randn(4, 3, 22, 14)
    if dtype == torch.float64:
        model, images = model.double(), images.double()
    mixed = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == torch.bfloat16 else nullcontext()
    with mixed:
        plain, found = (gradients(copy.deepcopy(model), images, recompute=on) for on in (False, True))
    for key, value in plain.items():
        assert torch.equal(found[key], value), key


def test_recomputed_activations_store_the_inputs_of_norms_alone() -> None:
    """Of a bottleneck without downsampling: its three norms' inputs, and nothing of its ReLUs."""
    model = blocks(Bottleneck)
    images = torch.randn(4, 3, 22, 14)
    with stored() as sizes:
        gradients(model, images)
    narrow, wide = 4 * 4 * 5 * 3 * 4, 4 * 16 * 5 * 3 * 4
    first = 4 * 4 * 10 * 6 * 4 + narrow + 2 * wide
    stem = 4 * 8 * 20 * 12 * 4
    # Max-pooling stores indices of eight bytes, and its output is the input of two convolutions.
    pooled = 4 * 8 * 10 * 6 * (8 + 4)
    small = sizes[0] - (images.nbytes + stem + pooled + first + 2 * (2 * narrow + wide))
    # Means and deviations of the norms. The last output, which the loss needs, is recomputed as well.
    assert 0 <= small < 4000


def test_recomputed_activations_are_freed_with_the_graph() -> None:
    model, images = blocks(BasicBlock), torch.randn(4, 3, 22, 14)
    sources: list[weakref.ref[Tensor]] = []
    model[1].register_forward_pre_hook(lambda norm, inputs: sources.append(weakref.ref(inputs[0])))
    gc.disable()
    try:
        gradients(model, images)
        assert sources[0]() is None
        with recomputed_activations(model):
            model(images)
        assert sources[1]() is None
    finally:
        gc.enable()


def test_recomputed_activations_refuse_a_changed_input_of_a_norm() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1))
    images = torch.randn(2, 3, 4, 4)
    with recomputed_activations(model):
        loss = model(images).sum()
    images.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_recomputed_activations_end_with_the_block_even_after_an_error() -> None:
    model = blocks(BasicBlock)
    with pytest.raises(RuntimeError), recomputed_activations(model):
        model(torch.randn(1, 2, 22, 14))
    assert recomputed._recorder is None
    plain = gradients(copy.deepcopy(model), torch.ones(2, 3, 22, 14), recompute=False)
    assert torch.equal(gradients(model, torch.ones(2, 3, 22, 14))["images"], plain["images"])
