"""Cross-modality data sets in fast-reid's `DATASET_REGISTRY`. Importing this package registers them."""

from vireid_plugins.data.datasets.base import CrossModalityDataset, build_dataset, build_options
from vireid_plugins.data.datasets.llcm import LLCM
from vireid_plugins.data.datasets.own_folder import OwnFolder
from vireid_plugins.data.datasets.regdb import RegDB
from vireid_plugins.data.datasets.sysu_mm01 import SYSUMM01, SYSUMM01Val
from vireid_plugins.data.datasets.unlabeled_folder import UnlabeledFolder

__all__ = [
    "LLCM",
    "SYSUMM01",
    "CrossModalityDataset",
    "OwnFolder",
    "RegDB",
    "SYSUMM01Val",
    "UnlabeledFolder",
    "build_dataset",
    "build_options",
]
