"""Losses. Importing this package registers them."""

from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss, Loss, build_losses
from vireid_plugins.modeling.losses.cmkic import CMKIC, cmkic, key_instance_contrast
from vireid_plugins.modeling.losses.fastreid_losses import CircleLoss, Cosface, CrossEntropyLoss, TripletLoss
from vireid_plugins.modeling.losses.hard_triplet import HardTriplet, hard_triplet
from vireid_plugins.modeling.losses.label_smooth_ce import LabelSmoothCE

__all__ = [
    "CMKIC",
    "LOSS_REGISTRY",
    "BranchLoss",
    "CircleLoss",
    "Cosface",
    "CrossEntropyLoss",
    "HardTriplet",
    "LabelSmoothCE",
    "Loss",
    "TripletLoss",
    "build_losses",
    "cmkic",
    "hard_triplet",
    "key_instance_contrast",
]
