"""What `speed.py` measures and how: one module per subject."""

import vireid_plugins  # noqa: F401  makes fastreid importable, also in the processes that measure
