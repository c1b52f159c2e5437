"""Visible-infrared person re-identification on the unmodified fast-reid 1.4.0.

Importing the package makes fastreid importable on current Python and torch, and registers data sets, backbones, heads,
attention modules, losses and meta-architectures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vireid_plugins import compat  # isort: skip  first: it makes fastreid importable
from vireid_plugins import config, data, methods, modeling  # registers keys, data sets and model parts

if TYPE_CHECKING:
    from vireid_plugins.search import Extractor

__version__ = "0.1.0"
__all__ = ["__version__", "compat", "config", "data", "load", "methods", "modeling"]


def load(run: str, overrides: Sequence[str] = (), device: str = "", batch: int = 32) -> "Extractor":
    """Return a trained model as an object with `embed(images, modality="visible" or "infrared")`.

    Args:
        run: a run's folder, `FOLDER@best` or a checkpoint, which contains its configuration.
        overrides: `KEY`, `value`, `KEY`, `value`, ... as on a command line.
        device: cpu, cuda or cuda:N; by default the one it was trained on, or the CPU where there is none.
        batch: images per forward pass.

    Raises:
        ConfigError: there is no such run or device, a key is wrong, or the checkpoint stores no configuration.
        DataError: the checkpoint cannot be read.
    """
    from vireid_plugins.engine.runs import load_run
    from vireid_plugins.search import Extractor

    return Extractor(load_run(str(run), overrides, device=device), batch)
