"""Cross-modality data: data sets, identity samplers, transforms and loaders."""

from vireid_plugins.data import datasets, samplers, transforms  # registers
from vireid_plugins.data.batch import INFRARED, VISIBLE, Batch
from vireid_plugins.data.loaders import TrainLoader, build_test_loader, build_train_loader, loader_of_test_set

__all__ = [
    "INFRARED",
    "VISIBLE",
    "Batch",
    "TrainLoader",
    "build_test_loader",
    "build_train_loader",
    "datasets",
    "loader_of_test_set",
    "samplers",
    "transforms",
]
