"""The overrides of a command line: KEY value or KEY=value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vireid_plugins.config.values import literal
from vireid_plugins.errors import ConfigError

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_FLAG = re.compile(r"--[a-z][a-z-]*(=.*)?", re.DOTALL)
# An item of a list, quoted or not.
_ITEM = re.compile(r"""'[^']*'|"[^"]*"|[^\s\[\](),'"]+""")

# What is no key, though it may look like one.
_FILES = (".yml", ".yaml", ".pth")


def paired(words: Sequence[str]) -> dict[str, Any]:
    """Return the values of overrides, `KEY value` or `KEY=value`, by key.

    Raises:
        ConfigError: a word is no key, or a key has no value; the message says how to write the first that is wrong.
    """
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = str(rest.pop(0))
        key, equals, value = word.partition("=")
        if equals and _KEY.fullmatch(key):
            if not value:
                raise ConfigError(f"'{word}' has no value; an empty one is {key}=\"''\"")
            values[key] = value
            continue
        if not is_override(word):
            raise ConfigError(_no_key(word, values))
        if not rest:
            raise ConfigError(f"'{word}' has no value; overrides are KEY value or KEY=value")
        values[word] = rest.pop(0)
    return values


def is_override(word: str) -> bool:
    """Return whether a word may begin an override: it is a key, or KEY=value."""
    key, equals, _ = word.partition("=")
    return bool(_KEY.fullmatch(key)) and (bool(equals) or not word.endswith(_FILES))


def _no_key(word: str, before: Mapping[str, Any]) -> str:
    """Return why a word is no key, given the pairs before it."""
    if _FLAG.fullmatch(word):
        return f"unknown flag '{word}'"
    if before:
        key, value = list(before.items())[-1]
        return (
            f"'{word}' is no key; overrides are KEY value or KEY=value, and the one before it is {key} {value}; put a "
            "value with spaces in quotes"
        )
    return (
        f"'{word}' is no key; overrides are KEY value or KEY=value. A configuration is given by --config-file FILE and "
        "weights by MODEL.WEIGHTS FILE; --resume takes no file and continues the run in OUTPUT_DIR"
    )


def as_list(default: Any, value: Any, place: str) -> Any:
    """Return what a key is set to; a plain word for a key that holds a list of texts as a list of that word.

    Args:
        default: what the key holds.
        value: what it is set to, which may be text that holds a list.
        place: name of the key in the message.

    Raises:
        ConfigError: a key that holds a list gets another single value, or text that stands for none.
    """
    if not isinstance(default, list | tuple):
        return value
    given = literal(value, place)
    # An empty list may hold anything, and what reads it checks that. Brackets are a list that was quoted wrongly.
    if isinstance(given, str) and given.strip() and given[0] not in "[(" and all(isinstance(x, str) for x in default):
        return [given]
    if isinstance(given, str | int | float):
        quoted = _quoted(given, place) if isinstance(given, str) and "," in given else ""
        if isinstance(literal(quoted, place), list):
            raise ConfigError(f'{place} is a list, whose texts need quotes, in a shell "{quoted}"; got {given}')
        if isinstance(given, str) and given[:1] in ("[", "("):
            given = given.strip("[]() ").partition(",")[0]
        raise ConfigError(f'{place} is a list; a list of one value is [{given!r}], in a shell "[{given!r}]"')
    return value


def _quoted(text: str, place: str) -> str:
    """Return a list as text in which bare words have quotes, which a shell may have taken away."""

    def quote(match: "re.Match[str]") -> str:
        word = match[0]
        bare = word[0] not in "'\"" and isinstance(literal(word, place), str)
        return f"'{word}'" if bare else word

    return _ITEM.sub(quote, text)
