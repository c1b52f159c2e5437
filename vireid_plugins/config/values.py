"""Values of a configuration as they are written: words of a command line and scalars of YAML."""

import math
from ast import literal_eval
from typing import Any

from vireid_plugins.errors import ConfigError

# Largest whole number of a configuration.
LARGEST = 2**63 - 1


def literal(word: Any, where: str) -> Any:
    """Return the Python literal that a text stands for, such as a list; other texts and values as they are.

    Args:
        word: the text or value.
        where: source and key, for the message.

    Raises:
        ConfigError: it is nested too deep, or is no value that can be made.
    """
    if not isinstance(word, str):
        return word
    try:
        return literal_eval(word)
    except (ValueError, SyntaxError):
        return word
    except (RecursionError, MemoryError):
        raise ConfigError(f"{where}: the value is nested too deep") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def unquoted(word: Any, where: str) -> Any:
    """Return the text of a word of a command line for a key that holds text: itself, or what is inside its quotes."""
    value = literal(word, where) if isinstance(word, str) and word[:1] in ("'", '"') else word
    return value if isinstance(value, str) else word


def require_sane(value: Any, where: str) -> None:
    """Check a value and what it contains.

    Args:
        value: the value.
        where: source and key, for the message.

    Raises:
        ConfigError: a number is too large or not finite, or a text holds a NUL.
    """
    if isinstance(value, list | tuple):
        for each in value:
            require_sane(each, where)
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{where}: the number is too large; at most {LARGEST}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: must be a finite number, got {value}")
    elif isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where}: the text holds a NUL character")
