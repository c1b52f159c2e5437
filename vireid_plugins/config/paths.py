"""Finds the shipped configs, in a checkout and in an installed wheel alike."""

from pathlib import Path

from vireid_plugins.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent.parent
# A wheel carries the configs inside the package; in a checkout they stand beside it.
_ROOTS = (PACKAGE / "configs", PACKAGE.parent / "configs")


def config_path(name: str) -> Path:
    """Return the file of a shipped config.

    Args:
        name: path below `configs/`, for instance `"SYSU/wrim.yml"`.

    Raises:
        ConfigError: no config has that name; the message lists those that exist.
    """
    for root in _ROOTS:
        if (root / name).is_file():
            return root / name
    shipped = sorted({str(p.relative_to(root)) for root in _ROOTS for p in root.glob("[!_]*/*.yml")})
    raise ConfigError(f"no shipped config is called '{name}'; there are {', '.join(shipped)}")


def resolve_config(file: str) -> Path:
    """Return `file` where it exists, else the shipped config of that name (`configs/` in front may be left on).

    Raises:
        ConfigError: neither exists.
    """
    if Path(file).is_file():
        return Path(file)
    try:
        return config_path(file.removeprefix("configs/"))
    except ConfigError as error:
        raise ConfigError(f"config file '{file}' does not exist, and {error}") from None
