"""fast-reid's configuration with the keys of this package."""

from vireid_plugins.config import shared_keys  # noqa: F401  only declares keys
from vireid_plugins.config.check import check_config
from vireid_plugins.config.load import load_config
from vireid_plugins.config.node import CfgNode, get_cfg
from vireid_plugins.config.paths import config_path

__all__ = ["CfgNode", "check_config", "config_path", "get_cfg", "load_config"]
