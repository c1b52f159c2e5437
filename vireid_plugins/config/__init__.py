"""fast-reid's configuration with the keys of this package."""

from vireid_plugins.config.check import check_config
from vireid_plugins.config.defaults import add_vireid_config
from vireid_plugins.config.load import load_config
from vireid_plugins.config.node import CfgNode, get_cfg, register_keys
from vireid_plugins.config.paths import config_path

__all__ = ["CfgNode", "add_vireid_config", "check_config", "config_path", "get_cfg", "load_config", "register_keys"]
