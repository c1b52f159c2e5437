"""Visible-infrared person re-identification on the unmodified fast-reid 1.4.0.

Importing the package makes fastreid importable on current Python and torch, and registers data sets, backbones, heads,
attention modules, losses and meta-architectures.
"""

from vireid_plugins import compat  # isort: skip  first: it makes fastreid importable
from vireid_plugins import config, data, methods, modeling  # registers keys, data sets and model parts

__version__ = "0.1.0"
__all__ = ["__version__", "compat", "config", "data", "methods", "modeling"]
