"""Filters of a search: conditions on columns, all of which must hold.

Columns are `camera`, `time`, `modality`, `track`, `digest` (of the file), `folder` (the file is in it or below it) and
those of your own. What lacks a column passes no condition on it.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.datasets.own_images import MODALITY_WORDS, modality_of
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.escape import as_utf8
from vireid_plugins.io.moment import FIRST, LAST, moment, written

# Columns that every record has a place for; `folder` is its key's.
KNOWN = ("modality", "camera", "time", "track", "digest", "folder")
WORDS, NUMBERS = ("camera", "track", "digest", "folder"), ("modality", "time")
NAME = re.compile(r"[A-Za-z_]\w{0,63}")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
# As Python and most programs write them: a fraction, an exponent with a sign and two digits, or both. 1e3 is a name.
_EXPONENT = "[eE][+-][0-9]{2,3}"
_FRACTION = re.compile(rf"-?(?:0|[1-9][0-9]{{0,18}})(?:\.[0-9]+(?:{_EXPONENT})?|{_EXPONENT})")
_DATE, _DAY = re.compile(r"\d{4}-\d{2}-\d{2}"), 86_400
_TEXT = re.compile(r"\s*([A-Za-z_]\w*)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)


class Condition(NamedTuple):
    """A column, one of OPERATORS, and a string, a number, or for `in` a tuple of them."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold.

    Raises:
        ConfigError: a column's name or an operator is none, or a value has the wrong type for it.
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        for column, operator, value in self.conditions:
            if not NAME.fullmatch(column):
                raise ConfigError(f"'{column}' is no column's name; names have letters, digits and _")
            if operator not in OPERATORS:
                raise ConfigError(f"{column}: there is no operator '{operator}'; there are {', '.join(OPERATORS)}")
            values = value if operator == "in" else (value,)
            if not isinstance(values, tuple) or not all(isinstance(one, str | int | float) for one in values):
                raise ConfigError(f"{column}: {value!r} is no value; give words or numbers")
            # Paths are bytes; all else that is kept of images is text.
            if column != "folder" and any(isinstance(one, str) and as_utf8(one) != one for one in values):
                raise ConfigError(f"{column}: {value!r} is no text in UTF-8")
            if column == "folder" and operator not in ("=", "in"):
                raise ConfigError(f"folder {operator}: a file is in a folder or not; use =")
            if column == "modality" and operator.startswith(("<", ">")):
                raise ConfigError(f"modality {operator}: modalities have no order; use = or !=")
            if column in NUMBERS and any(isinstance(one, str) for one in values):
                raise ConfigError(f"{column}: {value!r} is no number")
            if column in WORDS and not all(isinstance(one, str) for one in values):
                raise ConfigError(f"{column}: {value!r} is no word")

    def __str__(self) -> str:
        """Return the conditions as they may be written."""
        return " and ".join(f"{name} {operator} {_written(name, value)}" for name, operator, value in self.conditions)

    def passes(self, facts: Mapping[str, Any]) -> bool:
        """Return whether a record passes, whose columns are given; `folder` stands for its key."""
        return all(_holds(condition, facts.get(condition.column)) for condition in self.conditions)


def _written(column: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_written(column, one) for one in value)
    if column == "modality":
        return MODALITIES.get(value, str(value))
    return written(value) if column == "time" else str(value)


def _holds(condition: Condition, found: Any) -> bool:
    _, operator, value = condition
    if found is None or found == "":
        return False
    if condition.column == "folder":
        folders = value if operator == "in" else (value,)
        return any(below(found, folder) for folder in folders)
    if operator == "in":
        return any(_same(found, one) for one in value)
    if operator in ("=", "!="):
        return _same(found, value) is (operator == "=")
    if isinstance(found, str) is not isinstance(value, str):
        return False
    return bool({"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[operator])


def _same(found: Any, value: Any) -> bool:
    return isinstance(found, str) is isinstance(value, str) and bool(found == value)


def below(key: str, folder: str) -> bool:
    """Return whether a path is a folder, or is in it at any depth."""
    return key == folder or key.startswith(folder.rstrip(os.sep) + os.sep)


def parsed(text: str) -> Condition:
    """Return the condition of `NAME=VALUE`, `NAME>=VALUE` and so on; a value that reads as a number is one.

    Raises:
        ConfigError: the text is none, or names no modality.
    """
    match = _TEXT.fullmatch(text)
    if match is None or not match[3]:
        raise ConfigError(f"'{text}' is no condition; write NAME=VALUE, or !=, <, <=, >, >= instead of =")
    name, operator, value = match.groups()
    if name in WORDS:
        return Condition(name, operator, value)
    if name == "modality":
        require_name(name, value.strip().lower(), MODALITY_WORDS)
        return Condition(name, operator, modality_of(value))
    return Condition(name, operator, seconds(value) if name == "time" else number_or_word(value))


def narrowed(
    cameras: str = "", since: str = "", until: str = "", folders: Sequence[str] = (), where: Sequence[str] = ()
) -> tuple[Condition, ...]:
    """Return the conditions that a user of the search has written; what is empty asks for nothing.

    Args:
        cameras: names of cameras, with commas between them.
        since: the earliest time, see `seconds`.
        until: the latest time; a date without a time means all of that day.
        folders: the one spelling of each folder; an image must be below one of them.
        where: conditions as `parsed` takes them.

    Raises:
        ConfigError: a time or a condition is none.
    """
    found = [parsed(text) for text in where]
    if cameras:
        found.append(Condition("camera", "in", tuple(one.strip() for one in cameras.split(","))))
    if folders:
        found.append(
            Condition("folder", "=", folders[0]) if len(folders) == 1 else Condition("folder", "in", (*folders,))
        )
    if since:
        found.append(Condition("time", ">=", seconds(since)))
    if _DATE.fullmatch(until.strip()):
        found.append(Condition("time", "<", seconds(until) + _DAY))
    elif until:
        found.append(Condition("time", "<=", seconds(until)))
    return tuple(found)


def number_or_word(text: str) -> str | float | int:
    """Return the number that a text is, if it is written as Python writes numbers, else the text: 007 is a name."""
    if _WHOLE.fullmatch(text) and abs(int(text)) < 2**63:
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) and math.isfinite(float(text)) else text


def seconds(text: str) -> float:
    """Return the seconds since 1970 UTC of a number of them, or of a time in ISO 8601.

    Raises:
        ConfigError: it is neither, or not of the years 1 to 9999.
    """
    found = float(text) if _WHOLE.fullmatch(text) or _FRACTION.fullmatch(text) else moment(text)
    if not FIRST <= found <= LAST:
        raise ConfigError(
            f"'{text}' is no time of the years 1 to 9999; a number counts seconds since 1970, not milliseconds"
        )
    return found
