"""Diversity of part masks in its limits."""

import pytest
import torch

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.saai.losses import PartDiversity, part_diversity
from vireid_plugins.modeling.losses.parts import mask_overlap


def test_part_diversity_of_two_masks_is_as_by_hand() -> None:
    masks = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]]])
    assert part_diversity(masks, "l2").item() == pytest.approx(-1)
    assert mask_overlap(masks).item() == 0
    assert part_diversity(masks, "cos").item() == pytest.approx(1 - 0.5)


@pytest.mark.parametrize("form", ["l2", "cos"])
def test_part_diversity_of_equal_masks_or_one_part_has_a_finite_gradient(form: str) -> None:
    """The public code's is NaN for equal masks."""
    for parts in (1, 3):
        masks = torch.full((2, parts, 4), 0.5, requires_grad=True)
        part_diversity(masks, form).backward()
        assert torch.isfinite(masks.grad).all()


def test_part_diversity_refuses_an_unknown_form() -> None:
    with pytest.raises(ConfigError, match=r"PART_DIVERSITY\.FORM: unknown value 'l1'; available: cos, l2"):
        PartDiversity(form="l1")
