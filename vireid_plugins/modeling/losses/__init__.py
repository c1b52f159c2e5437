"""Losses. Importing this package registers them."""

from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, BranchLoss, Loss, build_losses
from vireid_plugins.modeling.losses.centre_guided import ICG, centre_guided, centre_tolerance
from vireid_plugins.modeling.losses.cmkic import CMKIC, cmkic, key_instance_contrast
from vireid_plugins.modeling.losses.embedding_expansion import (
    CPM,
    Orthogonality,
    cross_modality_expansion,
    orthogonality,
)
from vireid_plugins.modeling.losses.fastreid_losses import CircleLoss, Cosface, CrossEntropyLoss, TripletLoss
from vireid_plugins.modeling.losses.graph_alignment import CSA, MDR, TGSA
from vireid_plugins.modeling.losses.hard_triplet import HardTriplet, hard_triplet
from vireid_plugins.modeling.losses.hetero_centre import HeteroCentre, hetero_centre
from vireid_plugins.modeling.losses.label_smooth_ce import LabelSmoothCE
from vireid_plugins.modeling.losses.purifier import ModalityHeads, Purifier
from vireid_plugins.modeling.losses.quadruple_centre import QCT, quadruple_centre_triplet
from vireid_plugins.modeling.losses.weighted_triplet import (
    SquaredDifferenceTriplet,
    WeightedTriplet,
    squared_difference_triplet,
    weighted_triplet,
)

__all__ = [
    "CMKIC",
    "CPM",
    "CSA",
    "ICG",
    "LOSS_REGISTRY",
    "MDR",
    "QCT",
    "TGSA",
    "BranchLoss",
    "CircleLoss",
    "Cosface",
    "CrossEntropyLoss",
    "HardTriplet",
    "HeteroCentre",
    "LabelSmoothCE",
    "Loss",
    "ModalityHeads",
    "Orthogonality",
    "Purifier",
    "SquaredDifferenceTriplet",
    "TripletLoss",
    "WeightedTriplet",
    "build_losses",
    "centre_guided",
    "centre_tolerance",
    "cmkic",
    "cross_modality_expansion",
    "hard_triplet",
    "hetero_centre",
    "key_instance_contrast",
    "orthogonality",
    "quadruple_centre_triplet",
    "squared_difference_triplet",
    "weighted_triplet",
]
