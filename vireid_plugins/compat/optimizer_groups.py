"""fast-reid makes a parameter group of every parameter; equal ones can be one."""

from typing import Any


def merged_groups(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join parameter groups that differ in nothing but their parameters, in order of first appearance."""
    joined: dict[Any, dict[str, Any]] = {}
    for group in groups:
        rules = {name: value for name, value in group.items() if name != "params"}
        key = tuple(sorted(rules.items()))
        joined.setdefault(key, {**rules, "params": []})["params"] += group["params"]
    return list(joined.values())
