"""Load a configuration from a file and overrides, and check it."""

from collections.abc import Sequence
from pathlib import Path

from fastreid.config import CfgNode

from vireid_plugins.config.check import check_config
from vireid_plugins.config.model_selection import choose_on_validation
from vireid_plugins.config.node import get_cfg
from vireid_plugins.config.paths import resolve_config
from vireid_plugins.config.stages import stages_of
from vireid_plugins.errors import ConfigError


def load_config(file: str | Path = "", overrides: Sequence[str] = ()) -> CfgNode:
    """Return a checked configuration: the defaults, a file merged onto them, then the overrides.

    Args:
        file: a file, or the name of a shipped config such as `SYSU/wrim.yml`; empty for the defaults alone.
        overrides: `KEY`, `value`, `KEY`, `value`, ... as on a command line.

    Raises:
        ConfigError: a key, value or name is wrong.
    """
    cfg = merged_config(file, overrides)
    choose_on_validation(cfg)
    check_config(cfg)
    stages_of(cfg)
    return cfg


def merged_config(file: str | Path = "", overrides: Sequence[str] = ()) -> CfgNode:
    """Return the configuration of `load_config` before it is checked as a whole.

    Raises:
        ConfigError: a key or the type of a value is wrong.
    """
    if isinstance(overrides, str) or overrides is None:
        raise ConfigError(f"overrides: must be a list, KEY, value, KEY, value, ...; got {overrides!r}")
    cfg: CfgNode = get_cfg()
    if file:
        cfg.merge_from_file(resolve_config(str(file)))
    cfg.merge_from_list([str(word) for word in overrides])
    return cfg
