"""Cross-modality data sets in fast-reid's `DATASET_REGISTRY`. Importing this package registers them."""

from vireid_plugins.data.datasets.base import CrossModalityDataset, build_dataset
from vireid_plugins.data.datasets.sysu_mm01 import SYSUMM01

__all__ = ["SYSUMM01", "CrossModalityDataset", "build_dataset"]
