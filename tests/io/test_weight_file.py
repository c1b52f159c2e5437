from typing import Any

import pytest
import torch

from vireid_plugins.io.weight_file import CONTAINERS, named_tensors

WEIGHT = torch.ones(2)


@pytest.mark.parametrize("key", ["", *CONTAINERS])
def test_named_tensors_are_found_in_every_container(key: str) -> None:
    weights: dict[str, Any] = {"module.fc.weight": WEIGHT, "epochs_seen": 3}
    content = {key: weights, "epoch": 5, "optimizer": {"state": WEIGHT}} if key else weights
    assert named_tensors(content) == {"fc.weight": WEIGHT}


def test_named_tensors_of_containers_inside_each_other_are_the_innermost() -> None:
    assert named_tensors({"state_dict": {"model_state": {"a": WEIGHT}}, "other": WEIGHT}) == {"a": WEIGHT}


def test_named_tensors_under_a_name_of_a_container_stay() -> None:
    assert named_tensors({"net": WEIGHT, "fc": WEIGHT}) == {"net": WEIGHT, "fc": WEIGHT}
