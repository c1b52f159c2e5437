"""Recompute the outputs of ReLUs in the backward pass, instead of storing them.

A batch norm stores its input for the backward pass. What a ReLU makes of the norm's output is stored as well, by itself
and by the convolution that follows, although it can be computed from the same input. So is the output of a residual
block, from the input of its last norm and the output of the block before. Here only the inputs of the norms are stored,
which is half as much. Norms compute in the backward pass what they computed in the forward pass, so that gradients are
equal to the bit, and running statistics are updated once.

The idea of not storing what follows a norm is that of S. Rota Bulo, L. Porzi, P. Kontschieder: "In-Place Activated
BatchNorm for Memory-Optimized Training of DNNs", CVPR 2018, who store the output and compute the input from it. That
needs an invertible activation and changes rounding.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn import functional

# The last norm of a residual block, before the input or the output of `downsample` is added.
LAST_NORM = {BasicBlock: "bn2", Bottleneck: "bn3"}


class _Kept(NamedTuple):
    """A tensor that is stored, and how often it had been changed in place by then."""

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> "_Kept":
        # Without its place in the graph, which refers to what is stored: such a circle would never be freed.
        return cls(tensor.detach(), tensor._version)

    def get(self) -> Tensor:
        if self.tensor._version != self.version:
            raise RuntimeError("a tensor that the backward pass needs was changed in place: the input of a batch norm")
        return self.tensor


@dataclass(eq=False)
class _Recipe:
    """How an output is computed again: the norm of `source`, plus `residual` if there is one, and the ReLU of it.

    Attributes:
        norm: the batch norm.
        source: its input (B, C, H, W), which the norm stores anyway.
        residual: what is added to the norm's output, (B, C, H, W) or how to compute it; None if nothing is.
        activated: whether a ReLU follows.
        users: operations that need the output in a backward pass.
        waiting: how many of them have not asked for it yet.
        value: the output, from its first to its last use in a backward pass.
    """

    norm: nn.BatchNorm2d
    source: _Kept
    residual: "_Kept | _Recipe | None" = None
    activated: bool = False
    users: int = 0
    waiting: int = 0
    value: Tensor | None = None

    def promise(self) -> "_Recipe":
        """Note another user."""
        self.users += 1
        self.waiting += 1
        return self

    def use(self) -> Tensor:
        """Return the output to one of its users."""
        # Residual blocks are a chain as long as a stage; what it gives on the way is needed next.
        chain = [self]
        while chain[-1].value is None and isinstance(chain[-1].residual, _Recipe):
            chain.append(chain[-1].residual)
        value = None
        for recipe in reversed(chain):
            value = recipe._made(value)
        assert value is not None
        self.waiting -= 1
        if not self.waiting:
            # A graph that is kept may go backward again.
            self.value, self.waiting = None, self.users
        return value

    def _made(self, before: Tensor | None) -> Tensor:
        """Return the output, given that of the residual if that is computed as well."""
        if self.value is not None:
            return self.value
        with torch.no_grad():
            norm = self.norm
            out = functional.batch_norm(
                self.source.get(), None, None, norm.weight, norm.bias, training=True, eps=norm.eps
            )
            residual = self.residual.get() if isinstance(self.residual, _Kept) else before
            if residual is not None:
                out += residual
            if self.activated:
                out.relu_()
        if self.users:
            self.value = out
        return out


class _Known(NamedTuple):
    """A tensor that can be computed again, as long as it exists and is as it was."""

    tensor: "weakref.ref[Tensor]"
    version: int
    recipe: _Recipe


class _Recorder:
    """What was computed since `recomputed_activations` was entered, by its address."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        # Residual blocks that are running, each with what it will add to its last norm's output.
        self._blocks: list[tuple[nn.Module, Tensor]] = []

    def note(self, tensor: Tensor, version: int, recipe: _Recipe) -> None:
        """Note how a tensor is computed; it is forgotten, with what its recipe holds, when nothing refers to it."""
        address = tensor.data_ptr()

        def forget(reference: "weakref.ref[Tensor]") -> None:
            known = self._known.get(address)
            if known is not None and known.tensor is reference:
                del self._known[address]

        self._known[address] = _Known(weakref.ref(tensor, forget), version, recipe)

    def find(self, tensor: Tensor, changes: int = 0) -> _Recipe | None:
        """Return how a tensor is computed, if it has been changed in place so often since; None if that is unknown."""
        known = self._known.get(tensor.data_ptr())
        original = known and known.tensor()
        if known is None or original is None or original.shape != tensor.shape or original.dtype != tensor.dtype:
            return None
        return known.recipe if original._version == known.version + changes else None

    def enter(self, block: nn.Module, x: Tensor) -> None:
        self._blocks.append((block, x))

    def shortcut(self, downsample: nn.Module, output: Tensor) -> None:
        if self._blocks and self._blocks[-1][0].downsample is downsample:
            self._blocks[-1] = (self._blocks[-1][0], output)

    def leave(self, block: nn.Module) -> None:
        if self._blocks and self._blocks[-1][0] is block:
            self._blocks.pop()

    def normed(self, norm: nn.BatchNorm2d, source: Tensor, output: Tensor) -> None:
        self.note(output, output._version, _Recipe(norm, _Kept.of(source)))

    def activating(self, x: Tensor) -> None:
        """Note what a ReLU is about to write over its input."""
        recipe = self.find(x)
        if recipe is not None:
            self.note(x, x._version + 1, _Recipe(recipe.norm, recipe.source, activated=True))
            return
        recipe = self.find(x, changes=1)
        if recipe is None or not self._blocks:
            return
        block, residual = self._blocks[-1]
        if recipe.norm is getattr(block, LAST_NORM[type(block)]):
            residual_recipe = self.find(residual)
            self.note(
                x,
                x._version + 1,
                _Recipe(recipe.norm, recipe.source, residual_recipe or _Kept.of(residual), activated=True),
            )

    def pack(self, tensor: Tensor) -> Any:
        """Return what is stored in place of a tensor."""
        recipe = self.find(tensor)
        return tensor if recipe is None else recipe.promise()


def _unpack(packed: Any) -> Tensor:
    return packed.use() if isinstance(packed, _Recipe) else packed


_recorder: _Recorder | None = None


@contextmanager
def recomputed_activations(network: nn.Module) -> Iterator[None]:
    """Inside a `with` block, let the forward pass store less for the backward pass.

    Outputs of ReLUs that write over a batch norm's output, and of fast-reid's residual blocks, are computed again when
    they are needed. All others are stored as always, among them those of synchronized or ghost norms, of norms in
    evaluation mode and of blocks with squeeze-and-excitation. Compiled networks are not supported.

    Args:
        network: in training mode; in evaluation mode nothing happens.

    Raises:
        RuntimeError: in the backward pass, if an input of a norm was changed in place meanwhile.
    """
    global _recorder
    if not network.training:
        yield
        return
    _watch(network)
    outer = _recorder
    _recorder = recorder = _Recorder()
    try:
        with torch.autograd.graph.saved_tensors_hooks(recorder.pack, _unpack):
            yield
    finally:
        _recorder = outer


def _watch(network: nn.Module) -> None:
    """Hook the modules of a network, once; the hooks do nothing outside `recomputed_activations`."""
    if network.__dict__.get("_activations_watched"):
        return
    network.__dict__["_activations_watched"] = True
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and type(module).forward is nn.BatchNorm2d.forward:
            module.register_forward_hook(_normed)
        elif type(module) is nn.ReLU and module.inplace:
            module.register_forward_pre_hook(_activating)
        elif type(module) in LAST_NORM:
            module.register_forward_pre_hook(_enter)
            module.register_forward_hook(_leave, always_call=True)
            if isinstance(module.downsample, nn.Module):
                module.downsample.register_forward_hook(_shortcut)


def _normed(norm: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    if _recorder is not None and norm.training:
        _recorder.normed(norm, inputs[0], output)


def _activating(relu: nn.Module, inputs: tuple[Tensor]) -> None:
    if _recorder is not None:
        _recorder.activating(inputs[0])


def _enter(block: nn.Module, inputs: tuple[Tensor]) -> None:
    if _recorder is not None:
        _recorder.enter(block, inputs[0])


def _shortcut(downsample: nn.Module, inputs: object, output: Tensor) -> None:
    if _recorder is not None:
        _recorder.shortcut(downsample, output)


def _leave(block: nn.Module, inputs: object, output: Tensor) -> None:
    if _recorder is not None:
        _recorder.leave(block)
