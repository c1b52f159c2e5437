"""Where data sets lie: `$FASTREID_DATASETS`, read when a data set is built, else `datasets`."""

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder that holds `SYSU-MM01` and its like."""
    return Path(os.environ.get("FASTREID_DATASETS", "datasets"))
