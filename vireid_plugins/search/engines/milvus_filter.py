"""Filters as expressions of Milvus.

A path is stored with every byte outside of ASCII as %XX: names of files need not be text, and a folder is a range of
paths. A time that nobody knows is stored as UNKNOWN, since older servers have no empty numbers. For columns of your
own, servers disagree whether what is missing, or is of another type, is unequal: only `==` and orders are used.
"""

import json
import os
import sys
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from vireid_plugins.search.engines.where import Condition, Where

UNKNOWN = -1e300
# What no record fulfills.
NOTHING = "number < 0"
# Readable where servers show them; a quote or a backslash would have to be escaped.
_PLAIN = " /!#$&()*+,:;=?@[]^{|}<>"


def stored_key(key: str) -> str:
    """Return a key as it is stored."""
    return quote(os.fsencode(key), safe=_PLAIN)


def key_of(stored: str) -> str:
    """Return the key that is stored so."""
    return os.fsdecode(unquote_to_bytes(stored))


def expression(where: Where | None, *others: str) -> str:
    """Return a filter as an expression, together with other expressions; empty if everything passes."""
    parts = [*(_condition(one) for one in (where.conditions if where else ())), *filter(None, others)]
    return " and ".join(f"({one})" for one in parts)


def literal(value: str | float) -> str:
    """Return a word or a number as it is written in an expression."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        return f'"{escaped}"'
    if isinstance(value, float):
        return repr(min(max(value, -sys.float_info.max), sys.float_info.max))
    return repr(int(value))


def _condition(condition: Condition) -> str:
    column, operator, value = condition
    given = list(value) if operator == "in" else [value]
    if column == "folder":
        return " or ".join(map(_below, given)) or NOTHING
    if column == "modality":
        return _compared(column, operator, [int(one) if one == int(one) else float(one) for one in given])
    if column == "time":
        return f"time > {UNKNOWN!r} and ({_compared(column, operator, [float(one) for one in given])})"
    if column in ("camera", "track", "digest"):
        return f'{column} != "" and ({_compared(column, operator, given)})'
    return _of_your_own(f"extra[{json.dumps(column, ensure_ascii=False)}]", operator, given)


def _below(folder: str) -> str:
    """Return the expression for a file, or for what is below a folder."""
    folder = stored_key(folder.rstrip(os.sep))
    # The separator's successor is the first that is not below the folder.
    inside = f"key > {literal(folder + '/')} and key < {literal(folder + '0')}"
    return f"key == {literal(folder)} or ({inside})"


def _compared(column: str, operator: str, given: list[Any]) -> str:
    if operator == "in":
        return f"{column} in [{', '.join(map(literal, given))}]" if given else NOTHING
    return f"{column} {'==' if operator == '=' else operator} {literal(given[0])}"


def _of_your_own(found: str, operator: str, given: list[Any]) -> str:
    """Return the expression for a column in JSON, where a comparison in order holds for values of one type alone."""
    if operator in ("=", "in"):
        # Lists of words and numbers are refused by some servers.
        return " or ".join(f"{found} == {literal(one)}" for one in given if one != "") or NOTHING
    value = literal(given[0])
    word = f'{found} > ""'
    if not isinstance(given[0], str):
        return (
            f"{found} < {value} or {found} > {value} or {word}" if operator == "!=" else f"{found} {operator} {value}"
        )
    if operator == "!=":
        return f"({word} and {found} < {value}) or {found} > {value} or {found} <= 0 or {found} > 0"
    return f"{word} and {found} {operator} {value}"
