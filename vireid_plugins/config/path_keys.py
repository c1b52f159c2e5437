"""Keys whose values are paths: `~` and variables expand in them."""

from fastreid.config import CfgNode

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.expand import expand

# Every key whose value is a file or a folder.
PATH_KEYS = (
    "OUTPUT_DIR",
    "MODEL.WEIGHTS",
    "MODEL.BACKBONE.PRETRAIN_PATH",
    "DATASETS.OWN.ROOT",
    "DATASETS.OWN.CSV",
    "DATALOADER.CACHE",
)


def expanded(path: str, where: str) -> str:
    """Return a path with `~` and variables expanded.

    Args:
        path: the path.
        where: name of the key, flag or variable that holds it.

    Raises:
        ConfigError: a variable in it is not set, or `~user` names nobody.
    """
    try:
        return expand(path)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def expand_paths(cfg: CfgNode, where: str) -> None:
    """Expand every path of a configuration in place, also of a frozen one.

    Args:
        cfg: the configuration.
        where: name of the source of its values in messages.

    Raises:
        ConfigError: a variable is not set.
    """
    for key in PATH_KEYS:
        *parents, last = key.split(".")
        node = cfg
        for parent in parents:
            node = node[parent]
        if isinstance(node[last], str):
            node[last] = expanded(node[last], f"{where}: {key}")
