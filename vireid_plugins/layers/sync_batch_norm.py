"""Synchronized batch normalization: torch's on CUDA, our own on the CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.layers.frozen_statistics import BatchNorm
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.layers.processes import total, world_size


class HostSyncBatchNorm(BatchNorm):
    """Equivalent of torch's `SyncBatchNorm` on the CPU, which torch's does not support."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept both (B, C) and (B, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...) with the mean and variance over the images of all processes."""
        if not self.training or world_size() == 1:
            alone: Tensor = super().forward(input)
            return alone
        x = full_precision(input)
        shape = (1, -1, *[1] * (x.ndim - 2))
        axes = [axis for axis in range(x.ndim) if axis != 1]
        count = total(torch.full((1,), x.numel() / x.shape[1], device=x.device))
        mean = total(x.sum(axes)) / count
        centered = x - mean.view(shape)
        variance = total(centered.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        out = centered * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as `BatchNorm` does; all of fast-reid's have a momentum."""
        running: tuple[Any, ...] = (self.running_mean, self.running_var)
        if self.track_running_stats and all(buffer is not None for buffer in running):
            running_mean, running_var = running
            with torch.no_grad():
                # None inside `counted_together`.
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
                running_mean.lerp_(mean, self.momentum or 0.0)
                running_var.lerp_(variance, self.momentum or 0.0)


def synchronize_(model: nn.Module) -> nn.Module:
    """Make every batch norm of a model normalize over all processes, and return it.

    The parameters and buffers are those of before; on the host the modules are too.

    Raises:
        ConfigError: a batch norm does more than normalize, which would be lost (timm's, with their activation).
    """
    for module in model.modules():
        own = type(module).forward
        if isinstance(module, BatchNorm) and own not in (BatchNorm.forward, nn.SyncBatchNorm.forward):
            raise ConfigError(
                f"MODEL.SYNC_BN: set it to False, because a {type(module).__name__} cannot be synchronized"
            )
    if next(model.parameters()).is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return converted
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.__class__ = HostSyncBatchNorm
    return model
