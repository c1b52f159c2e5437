"""What is done to valid content: changes of bytes, of text, and of one value in a nested structure."""

import copy
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# A change of bytes: what, where (of 65,536 parts, or from the beginning), how long, and with which bytes.
ByteEdit = tuple[str, tuple[bool, int], int, bytes]
# A change of text: what, which word or line, and the new word.
TextEdit = tuple[str, int, str]

# Numbers at which sizes and counters turn.
TURNS = [0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS = st.builds(
    lambda number, kind: struct.pack(kind, number & (256 ** struct.calcsize(kind) - 1)),
    st.sampled_from(TURNS),
    st.sampled_from(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"]),
)
PLACES = st.one_of(
    st.tuples(st.just(True), st.integers(0, 512)),  # headers are at the beginning
    st.tuples(st.just(False), st.integers(0, 65535)),
)
BYTE_EDITS: st.SearchStrategy[list[ByteEdit]] = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "insert", "delete", "repeat", "cut"]),
        PLACES,
        st.integers(1, 64),
        st.one_of(NUMBERS, st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=6,
)
# What stands for something else than a reader expects.
_YAML = """0 -1 1.5 1e400 .nan .inf 99999999999999999999 0x7f 1_000 0o17 2026-11-27 12:30:45 true no null ~ [] {} [[]]
    [1] {a:1} !!binary !!set !!python/tuple &a *a << ? | > % @ ' " # - -- --- ... : , / . .. ./. nan NaN None SEED MODEL
    _BASE_ VERSION x.yml x.npz out all 1shot --json --resume --index=x KEY=value"""
_CHARACTERS = ["", " ", "\t", "\x00", "\x1b[1m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\udc80", "\u0663"]
WORDS = st.one_of(
    st.sampled_from(_YAML.split()),
    st.sampled_from(_CHARACTERS),
    st.text(max_size=6),
    st.integers(-(10**6), 10**6).map(str),
)
TEXT_EDITS: st.SearchStrategy[list[TextEdit]] = st.lists(
    st.tuples(
        st.sampled_from(["word", "word", "insert", "drop line", "double line", "swap lines", "indent", "join"]),
        st.integers(0, 65535),
        WORDS,
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[ByteEdit]) -> bytes:
    """Return the content with the changes made, one after the other."""
    for what, (first, place), length, new in edits:
        at = min(place, len(content)) if first else place * len(content) // 65536
        before, after = content[:at], content[at:]
        if what == "set":
            content = before + new + after[len(new) :]
        elif what == "insert":
            content = before + new + after
        elif what == "delete":
            content = before + after[length:]
        elif what == "repeat":
            content = before + after[:length] * (1 + new[0] % 32) + after
        else:
            content = before
    return content


def reworded(text: str, edits: list[TextEdit]) -> str:
    """Return the text with the changes made, one after the other."""
    for what, place, word in edits:
        lines = text.split("\n")
        at = place % len(lines)
        words = lines[at].split(" ")
        which = place // 7 % len(words)
        if what == "word":
            lines[at] = " ".join([*words[:which], word, *words[which + 1 :]])
        elif what == "insert":
            lines[at] = " ".join([*words[:which], word, *words[which:]])
        elif what == "drop line":
            del lines[at]
        elif what == "double line":
            lines.insert(at, lines[at])
        elif what == "swap lines":
            lines[at], lines[at - 1] = lines[at - 1], lines[at]
        elif what == "indent":
            lines[at] = "  " + lines[at] if place % 2 else lines[at].lstrip()
        else:
            lines[at - 1 : at + 1] = [word.join(lines[at - 1 : at + 1])]
        text = "\n".join(lines)
    return text


def replaced(content: Any, place: int, new: Any) -> Any:
    """Return a copy of nested dicts and lists in which one value, or the whole, is another."""
    content = copy.deepcopy(content)
    places = [(None, None), *_places(content)]
    holder, key = places[place % len(places)]
    if holder is None:
        return new
    holder[key] = new
    return content


def dropped(content: Any, place: int) -> Any:
    """Return a copy of nested dicts and lists without one of their values."""
    content = copy.deepcopy(content)
    places = list(_places(content))
    holder, key = places[place % len(places)]
    del holder[key]
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where every value is: the dict or list that holds it, and its key or index."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        yield content, key
        yield from _places(value)
