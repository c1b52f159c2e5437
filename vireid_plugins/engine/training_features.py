"""Features of the training images, of which methods without labels make clusters.

Shapes: `N` training images, `D` embedding.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from fastreid.utils import comm
from torch import Tensor, nn

from vireid_plugins.compat.patches import broadcast_buffers
from vireid_plugins.data.loaders import loader_of_training_images
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.engine.memory import explained
from vireid_plugins.layers.evaluating import evaluating


def training_features(cfg: CfgNode, model: nn.Module, images: TrainImages) -> npt.NDArray[np.float32] | None:
    """Return the features of all training images, in their order, on the main process; None on the others.

    A feature is the mean of the normalized features of an image and its mirror image, and not normalized again, as in
    Cluster Contrast. It is computed in evaluation mode, without a random number; the modes of all modules are restored.

    Args:
        cfg: the configuration.
        model: the network, without a wrapper for several processes.
        images: the training images.

    Returns:
        (N, D) float32.
    """
    broadcast_buffers(model)
    places: list[Tensor] = []
    features: list[Tensor] = []
    with evaluating(model), explained(cfg, training=False):
        for batch in loader_of_training_images(cfg, images):
            places.append(batch["targets"])
            features.append(flip_mean(model, batch).float().cpu())
    # A process may have no images.
    collected = comm.gather((places, features))
    if not comm.is_main_process():
        return None
    order = torch.cat([one for indices, _ in collected for one in indices])
    rows = torch.cat([one for _, found in collected for one in found])
    gathered = torch.empty_like(rows)
    gathered[order] = rows
    return gathered.numpy()


def flip_mean(model: nn.Module, batch: Any) -> Tensor:
    """Return the means (B, D) of the normalized features of images and of their mirror images."""
    mirrored = {**batch, "images": batch["images"].flip(3)}
    return (F.normalize(model(batch)) + F.normalize(model(mirrored))) / 2
