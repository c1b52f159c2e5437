"""The data root: `$FASTREID_DATASETS`, read when a data set is built, or `datasets`."""

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder that contains `SYSU-MM01` and the other data sets."""
    return Path(os.environ.get("FASTREID_DATASETS", "datasets"))
