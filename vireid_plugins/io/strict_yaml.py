"""Parse YAML of any origin: plain values only, no key twice, and small in every respect.

PyYAML itself takes the last of two equal keys, builds dates, and needs exponential time for a few lines of nested
anchors. The limits are far above any configuration, whose full dump has about 700 nodes at a depth of 6.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

MAX_BYTES = 256 * 2**10
# Deepest nesting, and the number of nodes with each alias counted as what it stands for.
MAX_DEPTH, MAX_NODES = 40, 20_000
# Longest number, in characters.
MAX_DIGITS = 100
_MERGE = "tag:yaml.org,2002:merge"
# What libyaml and PyYAML's own parser read alike: no tabs, no marks of byte order, no block scalars, no complex keys.
_EVEN = re.compile(r"[\n -=@-{}~]*")
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}


class StrictYamlError(ValueError):
    """A text that is not accepted; the message is one line and names the line of the text."""


class Parsed(NamedTuple):
    """Content of a YAML text.

    Attributes:
        value: its value; None if it is empty.
        texts: the source text of each unquoted number, truth value or date below mappings alone, by dotted key; a key
            that holds text takes that text instead of the value.
        nodes: number of nodes, with each alias counted as what it stands for.
    """

    value: Any
    texts: dict[str, str]
    nodes: int


class _Loader(Composer, SafeConstructor, Resolver):
    """Composes nodes within the limits, as a `SafeLoader`; dates stay text, and keys stay as they are written.

    Args:
        events: a parser of the text.
        budget: largest number of nodes.
    """

    def __init__(self, events: Any, budget: int) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.check_event, self.peek_event, self.get_event = events.check_event, events.peek_event, events.get_event
        self.depth, self.nodes, self.budget = 0, 0, budget
        # Number of nodes below each finished node.
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        before = self.nodes
        if self.depth > MAX_DEPTH:
            raise StrictYamlError(f"line {event.start_mark.line + 1} is nested more than {MAX_DEPTH} levels deep")
        alias = isinstance(event, yaml.AliasEvent)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if alias and id(node) not in self.sizes:
            raise StrictYamlError(f"line {event.start_mark.line + 1}: '*{event.anchor}' is used inside its own value")
        self.nodes += self.sizes[id(node)] if alias else 1
        if self.nodes > self.budget:
            raise StrictYamlError(f"line {event.start_mark.line + 1}: more than {MAX_NODES:,} values")
        self.sizes.setdefault(id(node), self.nodes - before)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        # YAML 1.1 reads the key `ON` as a truth value.
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag != _MERGE:
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


# Without dates: `2026-11-27` is a text, such as the name of a folder. So is what only YAML 1.1 takes for a number in
# base 8 or 60: `060` would be 48, and `1:30` 90.
_OLD_NUMBER = r"(?![-+]?(?:0[0-9_]|[0-9_]+:[0-9:]))"
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(_OLD_NUMBER + pattern.pattern, pattern.flags) if tag.endswith((":int", ":float")) else pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str, budget: int = MAX_NODES) -> Parsed:
    """Parse a YAML text of one document.

    Args:
        text: the text.
        budget: largest number of nodes.

    Raises:
        StrictYamlError: the text is malformed, has a key twice, or is beyond a limit.
    """
    if len(text) > MAX_BYTES:
        raise StrictYamlError(f"it is larger than {MAX_BYTES:,} bytes")
    if yaml.__with_libyaml__ and _EVEN.fullmatch(text):
        # A fifth of the time. What it refuses is parsed again, for the words of PyYAML's own parser.
        with suppress(yaml.YAMLError, StrictYamlError):
            return _parse(lambda: yaml.CSafeLoader(text), budget)
    try:
        return _parse(lambda: yaml.SafeLoader(text), budget)
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        raise StrictYamlError(f"{what}{f', line {mark.line + 1}' if mark else ''}") from None
    except yaml.YAMLError as error:
        raise StrictYamlError(" ".join(str(error).split())) from None


def _parse(parser: Callable[[], Any], budget: int) -> Parsed:
    """Parse what a parser of events reads.

    Raises:
        YAMLError: the text is malformed.
        StrictYamlError: the text has a key twice, or is beyond a limit.
    """
    try:
        loader = _Loader(parser(), budget)
        node = loader.get_single_node()
        if node is None:
            return Parsed(None, {}, 0)
        texts: dict[str, str] = {}
        _inspect(node, "", {}, texts)
        value = loader.construct_document(node)
        return Parsed(value, texts, loader.nodes)
    except StrictYamlError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, IndexError) as error:
        # PyYAML's constructors, for numbers of more than 4,300 digits and the like.
        raise StrictYamlError(str(error)) from None


def _inspect(node: Node, prefix: str, lines: dict[str, int], texts: dict[str, str]) -> None:
    """Refuse keys that are given twice, also once dotted and once nested, and collect the texts of plain scalars."""
    if node.tag not in _PLAIN and node.tag.startswith("tag:yaml.org,2002:") and "python" not in node.tag:
        kind = node.tag.rpartition(":")[2]
        raise StrictYamlError(f"line {node.start_mark.line + 1}: values of the kind '!!{kind}' are not supported")
    if node.tag.endswith((":int", ":float")) and len(node.value) > MAX_DIGITS:
        raise StrictYamlError(f"line {node.start_mark.line + 1}: a number of {len(node.value):,} characters")
    if isinstance(node, SequenceNode):
        for number, child in enumerate(node.value):
            _inspect(child, f"{prefix}[{number}].", lines, texts)
        return
    if not isinstance(node, MappingNode):
        return
    # Merged mappings first: what is given here itself replaces theirs.
    for key, value in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            raise StrictYamlError(f"line {line}: a key must be one word, not a list or a mapping")
        name = f"{prefix}{key.value}"
        if name in lines:
            raise StrictYamlError(f"'{name}' is given twice, on lines {lines[name]} and {line}; keep one")
        lines[name] = line
        if key.tag == _MERGE:
            for merged in reversed(value.value if isinstance(value, SequenceNode) else [value]):
                _inspect(merged, prefix, {}, texts)
            continue
        texts.pop(name, None)
        if isinstance(value, ScalarNode) and not value.style and not value.tag.endswith((":str", ":null")):
            texts[name] = value.value
        # What an alias stands for has lines of its own.
        _inspect(value, f"{name}.", lines, texts)
