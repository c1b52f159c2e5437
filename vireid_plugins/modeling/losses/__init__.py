"""Losses that several methods use; those of one method are in its folder. Importing this package registers them."""

from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss, Loss, StackedLoss, build_losses, weighted
from vireid_plugins.modeling.losses.center_cluster import CenterCluster, center_cluster
from vireid_plugins.modeling.losses.fastreid_losses import CircleLoss, Cosface, CrossEntropyLoss, TripletLoss
from vireid_plugins.modeling.losses.hard_triplet import HardTriplet, hard_triplet
from vireid_plugins.modeling.losses.hetero_center import HeteroCenter, hetero_center
from vireid_plugins.modeling.losses.label_smooth_ce import LabelSmoothCE
from vireid_plugins.modeling.losses.memory_contrast import MemoryContrast
from vireid_plugins.modeling.losses.mutual import MutualTeaching, SpecificCE, mutual_teaching
from vireid_plugins.modeling.losses.weighted_triplet import (
    SquaredDifferenceTriplet,
    WeightedTriplet,
    squared_difference_triplet,
    weighted_triplet,
)

__all__ = [
    "LOSS_REGISTRY",
    "BranchLoss",
    "CenterCluster",
    "CircleLoss",
    "Cosface",
    "CrossEntropyLoss",
    "HardTriplet",
    "HeteroCenter",
    "LabelSmoothCE",
    "Loss",
    "MemoryContrast",
    "MutualTeaching",
    "SpecificCE",
    "SquaredDifferenceTriplet",
    "StackedLoss",
    "TripletLoss",
    "WeightedTriplet",
    "build_losses",
    "center_cluster",
    "hard_triplet",
    "hetero_center",
    "mutual_teaching",
    "squared_difference_triplet",
    "weighted",
    "weighted_triplet",
]
