"""Patches as a whole: named, logged, applied once, taken back."""

import types
from typing import Any

import pytest

from vireid_plugins.compat import PATCHES, patch, unpatch
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("unpatched")


def targets(name: str) -> list[tuple[int, str]]:
    return [(id(one.owner), one.name) for one in PATCHES[name].replacements()]


def test_patch_is_named_logged_idempotent_and_reversible(log: pytest.LogCaptureFixture) -> None:
    before = {name: [r.value for r in _standing(name)] for name in PATCHES}
    patch()
    assert all(one.applied for one in PATCHES.values())
    logged = {record.getMessage() for record in log.records if "applied fast-reid patch" in record.getMessage()}
    assert len(logged) == len(PATCHES)
    standing = {name: [r.value for r in _standing(name)] for name in PATCHES}
    patch()
    assert {name: [r.value for r in _standing(name)] for name in PATCHES} == standing
    for name in PATCHES:
        assert all(a is not b for a, b in zip(before[name], standing[name], strict=True)), name
    unpatch()
    assert {name: [r.value for r in _standing(name)] for name in PATCHES} == before
    assert not any(one.applied for one in PATCHES.values())


def _standing(name: str) -> list[Any]:
    """What now stands where the patch would put its values."""
    found = []
    for one in PATCHES[name].replacements():
        value = one.owner.get(one.name) if isinstance(one.owner, dict) else vars(one.owner)[one.name]
        found.append(types.SimpleNamespace(value=value))
    return found


def test_patch_of_one_alone_applies_it_and_no_two_replace_the_same_name() -> None:
    patch(only=["flip"])
    assert [name for name, one in PATCHES.items() if one.applied] == ["flip"]
    unpatch(only="flip")
    everything = [target for name in PATCHES for target in targets(name)]
    assert len(everything) == len(set(everything))
    with pytest.raises(ConfigError, match="unknown value 'flop'; available: affine, amp, buffers"):
        patch(only=["flop"])
