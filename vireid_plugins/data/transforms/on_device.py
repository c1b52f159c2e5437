"""Augmentation of whole batches where the network is, for hosts with too few cores to do it image by image."""

from collections.abc import Sequence

import numpy as np
import torch

from vireid_plugins.data.batch import INFRARED, VISIBLE, Batch
from vireid_plugins.data.transforms.build import View
from vireid_plugins.errors import ConfigError


class BatchAugmentation:
    """Moves a batch of plain images to the device and applies to each block its view there.

    All chance comes from a generator that is seeded for each step, so that a resumed run sees what it would have seen.
    The images are not those of the augmentation on the host at the same seed; their distribution is the same.

    Args:
        views: for each modality the list of its views.
        device: where.
        seed: of the run.
        rank: this process.

    Raises:
        ConfigError: a transform has no form for batches.
    """

    def __init__(self, views: Sequence[Sequence[View]], device: str, seed: int = 0, rank: int = 0) -> None:
        for transform in (step for modality in views for view in modality for step, _ in view.steps):
            if not hasattr(transform, "batch"):
                raise ConfigError(
                    f"INPUT.AUGMENT: {type(transform).__name__} has no `batch` and cannot work on a device; use host"
                )
        self.views, self.device = views, torch.device(device)
        self.seed, self.rank = seed, rank

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch with augmented images, (B, 3, H, W) on the device.

        Args:
            batch: of images that are not augmented, rows in blocks.
            step: of the run, from 0 on.
        """
        state = np.random.SeedSequence([self.seed, self.rank, step]).generate_state(1, np.uint64)
        rng = torch.Generator(self.device).manual_seed(int(state[0]) >> 1)
        images = batch["images"].to(self.device, non_blocking=True)
        blocks = [view for modality in (VISIBLE, INFRARED) for view in self.views[modality]]
        parts = [view.batch(part, rng) for view, part in zip(blocks, images.chunk(len(blocks)), strict=True)]
        if any(part.is_floating_point() for part in parts):
            parts = [part.float() for part in parts]
        whole = torch.cat(parts)
        return {**batch, "images": whole.contiguous(memory_format=torch.channels_last)}
