"""Keys whose values are paths: `~` and variables expand in them."""

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.expand import expand

# Every key whose value is a file or a folder.
PATH_KEYS = (
    "OUTPUT_DIR",
    "MODEL.WEIGHTS",
    "MODEL.BACKBONE.PRETRAIN_PATH",
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
