"""What public code needs and a plain CPU machine lacks; every piece is recorded when it is supplied.

Nothing here changes what the code computes on a batch, unless the recorded line states it.
"""

import functools
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any

import torch
from torch import nn


class Supplied:
    """Lines about what was supplied, in the order of first use."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        """Record a line once."""
        if line not in self.lines:
            self.lines.append(line)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by `make(original)`."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))


def stand_in_module(name: str, **content: Any) -> types.ModuleType:
    """Make `import name` find a module with this content, creating its parent packages."""
    parts = name.split(".")
    for n in range(1, len(parts)):
        parent = ".".join(parts[:n])
        if parent not in sys.modules:
            sys.modules[parent] = types.ModuleType(parent)
            sys.modules[parent].__path__ = []
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    if len(parts) > 1:
        setattr(sys.modules[".".join(parts[:-1])], parts[-1], module)
    return module


def on_a_cpu(supplied: Supplied) -> None:
    """Let `.cuda()`, `device="cuda"` and `torch.cuda.*` mean the CPU."""
    supplied.note("no GPU: .cuda(), device='cuda' and torch.cuda.set_device mean the CPU")
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    nn.Module.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    for name in ("set_device", "empty_cache"):
        setattr(torch.cuda, name, lambda *_: None)
    torch.cuda.current_device = lambda: 0
    replace(torch.Tensor, "to", _without_cuda)
    for name in ("tensor", "zeros", "ones"):
        replace(torch, name, _without_cuda)


def _without_cuda(function: Callable[..., Any]) -> Callable[..., Any]:
    def is_cuda(value: Any) -> bool:
        return isinstance(value, str | torch.device) and str(value).startswith("cuda")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        cpu = torch.device("cpu")
        args = tuple(cpu if is_cuda(value) else value for value in args)
        return function(*args, **{key: cpu if is_cuda(value) else value for key, value in kwargs.items()})

    return call


def float64_stays(supplied: Supplied) -> None:
    """Let `.float()` and `.type(torch.float32)` leave float64 tensors as they are."""
    supplied.note("float64: .float() and .type(torch.float32) leave float64 as it is")

    def make_float(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: self if self.dtype == torch.float64 else function(self, *args, **kwargs)

    def make_type(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
            kept = dtype is torch.float32 and self.dtype == torch.float64
            return self if kept else function(self, dtype, *args, **kwargs) if dtype is not None else function(self)

        return call

    replace(torch.Tensor, "float", make_float)
    replace(torch.Tensor, "type", make_type)


def without_dropout(supplied: Supplied, where: str) -> None:
    """Disable `F.dropout` and `nn.Dropout`, since the two sides cannot draw the same mask."""
    supplied.note(f"dropout is off on both sides ({where})")
    torch.nn.functional.dropout = lambda x, *_, **__: x
    replace(nn.Dropout, "forward", lambda _: lambda self, x: x)


def tensorboard(supplied: Supplied) -> None:
    """Supply a `tensorboardX` whose writer drops everything."""
    supplied.note("tensorboardX: a writer that drops everything")
    stand_in_module("tensorboardX", SummaryWriter=_Silent)


class _Silent:
    """Ignores every call."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def apex(supplied: Supplied) -> None:
    """Supply `apex.amp` that changes nothing."""
    supplied.note("apex: amp.initialize and amp.scale_loss that change nothing (full precision)")

    class Scaled:
        def __init__(self, loss: Any, optimizer: Any) -> None:
            self.loss = loss

        def __enter__(self) -> Any:
            return self.loss

        def __exit__(self, *_: object) -> None:
            pass

    amp = stand_in_module("apex.amp", initialize=lambda model, optimizer, **_: (model, optimizer), scale_loss=Scaled)
    sys.modules["apex"].amp = amp  # type: ignore[attr-defined]


class Events(Enum):
    """Events of a run, with ignite's names."""

    STARTED = auto()
    COMPLETED = auto()
    EPOCH_STARTED = auto()
    EPOCH_COMPLETED = auto()
    ITERATION_STARTED = auto()
    ITERATION_COMPLETED = auto()


class Engine:
    """Calls a function on every batch of every epoch, and handlers: the part of ignite's engine that IDKL uses."""

    def __init__(self, process: Callable[[Any, Any], Any]) -> None:
        self.process, self.state = process, types.SimpleNamespace(epoch=0, iteration=0)
        self.handlers: dict[Events, list[tuple[Callable[..., Any], tuple[Any, ...]]]] = defaultdict(list)

    def add_event_handler(self, event: Events, handler: Callable[..., Any], *args: Any) -> None:
        """Call `handler(engine, *args)` at an event."""
        self.handlers[event].append((handler, args))

    def on(self, event: Events) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate a handler."""

        def add(handler: Callable[..., Any]) -> Callable[..., Any]:
            self.add_event_handler(event, handler)
            return handler

        return add

    def run(self, loader: Any, max_epochs: int = 1) -> None:
        """Run."""
        self.state.dataloader = loader
        self._fire(Events.STARTED)
        for epoch in range(1, max_epochs + 1):
            self.state.epoch = epoch
            self._fire(Events.EPOCH_STARTED)
            for batch in loader:
                self.state.iteration += 1
                self.state.batch = batch
                self._fire(Events.ITERATION_STARTED)
                self.state.output = self.process(self, batch)
                self._fire(Events.ITERATION_COMPLETED)
            self._fire(Events.EPOCH_COMPLETED)
        self._fire(Events.COMPLETED)

    def _fire(self, event: Events) -> None:
        for handler, args in self.handlers[event]:
            handler(self, *args)


class _Metric:
    def __init__(self, *_: Any, **__: Any) -> None:
        self.reset()

    def reset(self) -> None:
        """Do nothing."""


class _Timer(_Silent):
    def value(self) -> float:
        """Return a nonzero time."""
        return 1.0


def ignite(supplied: Supplied) -> None:
    """Supply ignite 0.2's engine, and handlers that do nothing."""
    supplied.note("ignite: an engine that calls the step and its handlers; no checkpoints, no timer")
    stand_in_module("ignite.engine", Engine=Engine, Events=Events)
    stand_in_module("ignite.handlers", ModelCheckpoint=lambda *_, **__: lambda *_, **__: None, Timer=_Timer)
    stand_in_module("ignite.exceptions", NotComputableError=RuntimeError)
    stand_in_module("ignite.metrics", Metric=_Metric, Accuracy=_Metric)


class Loader:
    """Stands in for `torch.utils.data.DataLoader`: yields batches in this process when the desk requests a step.

    A loader without a sampler is a test loader, and empty.
    """

    # Set by the caller of the public code: takes an iterator of batches and yields them around the steps.
    around: Callable[[Iterator[Any], int], Iterator[Any]]

    def __init__(
        self, dataset: Any, batch_size: int = 1, sampler: Any = None, collate_fn: Any = None, **_: Any
    ) -> None:
        self.dataset, self.batch_size, self.sampler = dataset, batch_size, sampler
        self.collate = collate_fn or torch.utils.data.default_collate

    def __len__(self) -> int:
        # As torch with drop_last: from the sampler's own length, which in AGW's family is not what it yields.
        return len(self.sampler) // self.batch_size if self.sampler is not None else 0

    def __iter__(self) -> Iterator[Any]:
        if self.sampler is None:
            return
        order = list(self.sampler)
        whole = len(order) // self.batch_size
        batches = (
            self.collate([self.dataset[i] for i in order[n * self.batch_size : (n + 1) * self.batch_size]])
            for n in range(whole)
        )
        yield from Loader.around(batches, whole)
