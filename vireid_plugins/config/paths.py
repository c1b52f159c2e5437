"""Find the shipped configs, in a checkout or in an installed wheel."""

from pathlib import Path

from vireid_plugins.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent.parent
# A wheel contains the configs inside the package; in a checkout they are next to it.
_ROOTS = (PACKAGE / "configs", PACKAGE.parent / "configs")


def config_path(name: str) -> Path:
    """Return the file of a shipped config.

    Args:
        name: path below `configs/`, such as `"SYSU/wrim.yml"`.

    Raises:
        ConfigError: no config has that name; the message lists the available ones.
    """
    for root in _ROOTS:
        if (root / name).is_file():
            return root / name
    shipped = [f"{folder}/{one}.yml" for folder, names in shipped_configs().items() for one in names]
    raise ConfigError(f"unknown shipped config '{name}'; available: {', '.join(shipped)}")


def resolve_config(file: str) -> Path:
    """Return `file` if it exists, else the shipped config of that name, with or without the prefix `configs/`.

    Raises:
        ConfigError: neither exists.
    """
    # A folder or a pipe too: reading it says what it is.
    if "\0" not in file and Path(file).exists():
        return Path(file)
    try:
        return config_path(file.removeprefix("configs/"))
    except ConfigError as error:
        raise ConfigError(f"config file '{file}' does not exist; {error}") from None


def shipped_configs() -> dict[str, list[str]]:
    """Return the names of the shipped configs, without `.yml`, by folder, both sorted."""
    found: dict[str, set[str]] = {}
    for root in _ROOTS:
        for file in root.glob("[!_]*/*.yml"):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {folder: sorted(names) for folder, names in sorted(found.items())}
