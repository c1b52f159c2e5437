import numpy as np
import pytest
import torch
from cluster_inputs import Floats, fixture, unit

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.adca import CMA, associated_pairs
from vireid_plugins.methods.adca import association as module

RS = np.random.RandomState
# Number, visible and infrared clusters.
CASES = {"more": (0, 18, 13), "fewer": (1, 11, 16), "equal": (2, 14, 14)}


def images(case: str) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Features and clusters by modality; -1 is an outlier."""
    number, visible, infrared = CASES[case]
    r = [RS(35000 + 10 * number + k) for k in range(7)]
    base = r[0].standard_normal((20, 32))

    def modality(m: int, count: int, extra: int) -> tuple[Floats, Floats]:
        people = r[1 + m].randint(0, 20, count)
        labels = np.concatenate([np.arange(count), r[3 + m].randint(-1, count, extra)])
        return unit(base[people[labels]] + 0.9 * r[5 + m].standard_normal((len(labels), 32))), labels

    pairs = {"visible": modality(0, visible, 150), "infrared": modality(1, infrared, 110)}
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def memories(case: str, when: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(fixture("adca")[f"c_{case}_{name}_{when}"]) for name in ("visible", "infrared")}


@pytest.mark.parametrize("block", [7, 2048])
@pytest.mark.parametrize("case", CASES)
def test_cma_equals_released_pairs_and_memories(case: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    features, labels = images(case)
    pairs = associated_pairs(features, labels, 0.5)
    np.testing.assert_array_equal(pairs.clusters, fixture("adca")[f"c_{case}_pairs"])
    np.testing.assert_array_equal(pairs.counts, fixture("adca")[f"c_{case}_counts"])
    before = memories(case, "before")
    association, after = CMA()(features, labels, before)
    for name, rows in memories(case, "after").items():
        np.testing.assert_allclose(after[name], rows, rtol=1e-12, atol=1e-14)
    # The given memories stay.
    assert all(torch.equal(before[name], rows) for name, rows in memories(case, "before").items())
    r2i, i2r = association["r2i"], association["i2r"]
    assert [(i, int(r2i[i])) for i in pairs.clusters[:, 0]] == [tuple(pair) for pair in pairs.clusters.tolist()]
    assert (r2i != -1).sum() == (i2r != -1).sum() == len(pairs.clusters)


def test_cma_into_both_mixes_each_memory_with_the_other_as_it_was() -> None:
    features, labels = images("more")
    before = memories("more", "before")
    association, after = CMA(into="both", keep=0.25)(features, labels, before)
    i = int(torch.nonzero(association["r2i"] != -1)[0])
    j = int(association["r2i"][i])
    torch.testing.assert_close(after["visible"][i], 0.25 * before["visible"][i] + 0.75 * before["infrared"][j])
    torch.testing.assert_close(after["infrared"][j], 0.25 * before["infrared"][j] + 0.75 * before["visible"][i])


def test_cma_without_similar_images_changes_nothing() -> None:
    features, labels = images("more")
    before = memories("more", "before")
    association, after = CMA(threshold=1.0)(features, labels, before)
    assert all((partners == -1).all() for partners in association.values())
    assert all(torch.equal(after[name], rows) for name, rows in before.items())


def test_cma_refuses_values_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"CMA\.INTO.*available: both, visible"):
        CMA(into="infrared")
    with pytest.raises(ConfigError, match=r"CMA\.KEEP: must be 0 to 1, got 1\.5"):
        CMA(keep=1.5)
    with pytest.raises(ConfigError, match=r"CMA\.THRESHOLD: must be -1 to 1, got 2"):
        CMA(threshold=2)
