"""Augment whole batches on the network's device, for hosts with too few cores to augment image by image."""

from collections.abc import Sequence

import numpy as np
import torch

from vireid_plugins.data.batch import INFRARED, VISIBLE, Batch
from vireid_plugins.data.transforms.build import View
from vireid_plugins.errors import ConfigError


class BatchAugmentation:
    """Moves a batch of unaugmented images to the device and applies to each block its view.

    All randomness comes from a generator that is seeded for each step, so that a resumed run sees the same images as an
    uninterrupted one. At the same seed the images differ from those augmented on the host, but their distribution is
    the same.

    Args:
        views: for each modality the list of its views.
        device: the network's device.
        seed: seed of the run.
        rank: rank of this process.
        first_views: the views that begin the run; None: `views`.

    Attributes:
        first_steps: number of steps that begin the run with these.

    Raises:
        ConfigError: a transform has no `batch` method.
    """

    def __init__(
        self,
        views: Sequence[Sequence[View]],
        device: str,
        seed: int = 0,
        rank: int = 0,
        first_views: Sequence[Sequence[View]] | None = None,
    ) -> None:
        self.first_views, self.first_steps = views if first_views is None else first_views, 0
        chains = (*views, *self.first_views)
        for transform in (step for modality in chains for view in modality for step, _ in view.steps):
            if not hasattr(transform, "batch"):
                raise ConfigError(
                    f"INPUT.AUGMENT: {type(transform).__name__} has no `batch` method and cannot run on a device; "
                    "use host"
                )
        self.views, self.device = views, torch.device(device)
        self.seed, self.rank = seed, rank

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch with augmented images, (B, 3, H, W) on the device.

        Args:
            batch: unaugmented images, rows in blocks.
            step: step of the run, counted from 0.
        """
        state = np.random.SeedSequence([self.seed, self.rank, step]).generate_state(1, np.uint64)
        rng = torch.Generator(self.device).manual_seed(int(state[0]) >> 1)
        images = batch["images"].to(self.device, non_blocking=True)
        views = self.first_views if step < self.first_steps else self.views
        blocks = [view for modality in (VISIBLE, INFRARED) for view in views[modality]]
        parts = [view.batch(part, rng) for view, part in zip(blocks, images.chunk(len(blocks)), strict=True)]
        if any(part.is_floating_point() for part in parts):
            parts = [part.float() for part in parts]
        whole = torch.cat(parts)
        return {**batch, "images": whole.contiguous(memory_format=torch.channels_last)}
