"""A default is defined once, by the class that reads the key: recipes state what differs from it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

from vireid_plugins.config.keys import keys

# The keys of losses, attention modules and methods; shared ones are declared in a table.
SHARED = (ROOT / "vireid_plugins" / "config" / "shared_keys.py").read_text()
DEFAULTS = {key.name: key.default for key in keys("MODEL.*") if f'"{key.name}"' not in SHARED}
# It restates what another fragment that it is merged onto sets otherwise.
ON_TOP = {"mscm_released.yml"}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "_base_").glob("*.yml")), ids=lambda file: file.stem)
def test_recipe_of_a_method_repeats_no_default_of_its_losses_attention_or_options(file: Path) -> None:
    if file.name in ON_TOP:
        return
    for name, value in flat(yaml.safe_load(file.read_text())).items():
        assert name not in DEFAULTS or value != DEFAULTS[name], f"{name} is {value!r} by default"
