"""The words after the flags of a command line: KEY value, KEY value, ..."""

import re
from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.errors import ConfigError

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_FLAG = re.compile(r"--[a-z][a-z-]*(=.*)?", re.DOTALL)

# What is no key, though it may look like one.
_FILES = (".yml", ".yaml", ".pth")


def paired(words: Sequence[str]) -> dict[str, Any]:
    """Return the values of `KEY value` pairs by key.

    Raises:
        ConfigError: the words are no pairs; the message says how to write the first that is wrong.
    """
    for word in words:
        if isinstance(word, str) and _FLAG.fullmatch(word):
            raise ConfigError(
                f"'{word}' is among the overrides; flags come before them: --config-file FILE {word} KEY value"
            )
    for number, word in enumerate(map(str, words[::2])):
        key, equals, value = word.partition("=")
        if equals and _KEY.fullmatch(key):
            raise ConfigError(f"'{word}': a key and its value are two words: {key} {value or 'VALUE'}")
        if not _KEY.fullmatch(word) or word.endswith(_FILES):
            if number:
                break  # a value is missing before it
            raise ConfigError(
                f"'{word}' is no key; overrides are KEY value. A configuration is given by --config-file FILE and "
                "weights by MODEL.WEIGHTS FILE; --resume takes no file and continues the run in OUTPUT_DIR"
            )
    if len(words) % 2:
        raise ConfigError(f"overrides come in pairs, KEY value; got {len(words)} words: {' '.join(map(str, words))}")
    return dict(zip(words[::2], words[1::2], strict=True))


def require_list(default: Any, value: Any, place: str) -> None:
    """Raise a `ConfigError` if a key that holds a list gets a single value.

    Args:
        default: what the key holds.
        value: what it is set to, which may be text that holds a list.
        place: name of the key in the message.
    """
    if not isinstance(default, list | tuple):
        return
    given = CfgNode._decode_cfg_value(value)
    if isinstance(given, str | int | float):
        raise ConfigError(f'{place} is a list; a list of one value is [{given!r}], in a shell "[{given!r}]"')
