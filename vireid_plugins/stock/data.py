"""Patches of fast-reid's loaders, samplers and transforms."""

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from fastreid.data import build as loaders
from fastreid.data import samplers as fast_samplers
from fastreid.data.transforms import build as transforms
from torch.utils.data import DataLoader, default_collate

from vireid_plugins.compat.registry import Replacement, register_patch
from vireid_plugins.errors import ConfigError
from vireid_plugins.processes import loader_arguments


class DeviceLoader(DataLoader[Any]):
    """A data loader that moves its batches to this process's CUDA device, if there is one.

    Args:
        local_rank: index of the device.
        arguments: passed to `DataLoader`.
    """

    def __init__(self, local_rank: int, **arguments: Any) -> None:
        workers = loader_arguments(arguments.get("num_workers", 0))
        super().__init__(**{**workers, **arguments, "pin_memory": torch.cuda.is_available()})
        self.local_rank = local_rank

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches; an error in a worker is raised here."""
        for batch in super().__iter__():
            if torch.cuda.is_available():
                batch = {key: self._moved(value) for key, value in batch.items()}
            yield batch

    def _moved(self, value: Any) -> Any:
        return value.to(self.local_rank, non_blocking=True) if isinstance(value, torch.Tensor) else value


@register_patch(
    "the loaders need CUDA; an error while reading an image hangs forever; numpy numbers, arrays and lists in a batch "
    "become None",
    "uses torch's own loader and collate function; batches still arrive on the device",
    where="`fastreid/data/data_utils.py:126`, `fastreid/data/build.py:168`.",
)
def loader() -> list[Replacement]:
    """Return the replacements."""
    return [
        Replacement(loaders, "DataLoaderX", DeviceLoader),
        Replacement(loaders, "fast_batch_collator", default_collate),
    ]


def _with_own_generator(indices: Callable[[Any], Iterator[int]]) -> Callable[[Any], Iterator[int]]:
    """Wrap a generator that seeds and uses numpy's global state, so that it has its own state."""

    def drawn(self: Any) -> Iterator[int]:
        # fast-reid's samplers only use the global generator.
        stream, own = indices(self), np.random.get_state()  # noqa: NPY002
        while True:
            outside = np.random.get_state()  # noqa: NPY002
            np.random.set_state(own)  # noqa: NPY002
            index = next(stream)
            own = np.random.get_state()  # noqa: NPY002
            np.random.set_state(outside)  # noqa: NPY002
            yield index

    return drawn


def _checked(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap the constructor of an identity sampler, so that batches that cannot be filled raise an error."""

    def checked(
        self: Any, data_source: Any, mini_batch_size: int, num_instances: int, *rest: Any, **named: Any
    ) -> None:
        if mini_batch_size % num_instances:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: {mini_batch_size} images per device is not a multiple of "
                f"DATALOADER.NUM_INSTANCE {num_instances}"
            )
        init(self, data_source, mini_batch_size, num_instances, *rest, **named)
        needed, present = self.batch_size // num_instances, len(self.pids)
        if present < needed:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH: a batch of {self.batch_size} images, {num_instances} per identity, needs "
                f"{needed} identities; the training set has {present}"
            )

    return checked


@register_patch(
    "the identity samplers loop forever if a batch needs more identities than the training set has; all samplers seed "
    "numpy's global generator",
    "raises an error with both numbers; each sampler has its own random state",
    where="`fastreid/data/samplers/triplet_sampler.py:77,235`, `data_sampler.py:50`, `imbalance_sampler.py:64`.",
)
def samplers() -> list[Replacement]:
    """Return the replacements."""
    drawing = ("TrainingSampler", "BalancedIdentitySampler", "NaiveIdentitySampler", "SetReWeightSampler")
    classes = [getattr(fast_samplers, name) for name in (*drawing, "ImbalancedDatasetSampler")]
    identity = (fast_samplers.BalancedIdentitySampler, fast_samplers.NaiveIdentitySampler)
    return [
        *(Replacement(c, "_infinite_indices", _with_own_generator(c._infinite_indices)) for c in classes),
        *(Replacement(c, "__init__", _checked(c.__init__)) for c in identity),
    ]


def _random_affine(*, resample: Any = False, fillcolor: Any = 0, **arguments: Any) -> Any:
    """Translate arguments that torchvision renamed."""
    # Imported here because it takes a second.
    from torchvision.transforms import InterpolationMode, RandomAffine

    interpolation = InterpolationMode.NEAREST if resample is False else InterpolationMode(resample)
    return RandomAffine(**arguments, interpolation=interpolation, fill=fillcolor)


@register_patch(
    "INPUT.AFFINE passes arguments that torchvision renamed",
    "translates them to the new names",
    where="`fastreid/data/transforms/build.py:81`.",
)
def affine() -> list[Replacement]:
    """Return the replacements."""
    names = types.SimpleNamespace(**dict(inspect.getmembers(transforms.T)))
    names.RandomAffine = _random_affine
    return [Replacement(transforms, "T", names)]
