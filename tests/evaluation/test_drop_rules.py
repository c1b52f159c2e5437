import numpy as np
import pytest

from vireid_plugins.evaluation.drop_rules import DropRule, no_match
from vireid_plugins.evaluation.types import Labels

NOTHING = "no query has a match in the gallery, so nothing can be scored: "


@pytest.mark.parametrize("name", ["same_camera", ""])
def test_no_match_of_a_camera_rule_names_rule_and_cameras(name: str) -> None:
    query = Labels(np.array([1, 1]), np.array([6, 3]))
    gallery = Labels(np.array([1, 2]), np.array([2, 4]))
    rule = DropRule(((3, 2), (6, 2)))
    named = 'drop="same_camera"' if name else str(rule)
    assert no_match(query, gallery, rule, name) == (
        f"{NOTHING}the camera rule {named} excludes every match (queries from cameras 3, 6, the gallery from 2, 4); "
        'images of a single camera need drop="none"'
    )
    assert no_match(query, gallery, rule) == no_match(query, gallery, rule, "")


@pytest.mark.parametrize(("identities", "more"), [(10, ""), (11, ", ...")])
def test_no_match_of_other_identities_names_ten(identities: int, more: str) -> None:
    query = Labels(np.arange(identities), np.ones(identities, int))
    gallery = Labels(np.array([70, 50]), np.ones(2, int))
    listed = f"0, 1, 2, 3, 4, 5, 6, 7, 8, 9{more}"
    found = no_match(query, gallery, DropRule())
    assert found == f"{NOTHING}they share no identity (queries {listed}, gallery 50, 70)"
