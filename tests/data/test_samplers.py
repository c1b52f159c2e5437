from collections import Counter
from itertools import islice

import numpy as np
import pytest

from vireid_plugins.data.samplers import (
    SAMPLER_REGISTRY,
    BalancedCrossModalitySampler,
    CrossModalityIdentitySampler,
    CrossModalitySampler,
    DistinctImagesSampler,
)
from vireid_plugins.errors import ConfigError, DataError

KINDS = [CrossModalityIdentitySampler, BalancedCrossModalitySampler, DistinctImagesSampler]


def images(counts: dict[int, tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Targets and modalities of `counts[identity] = (visible, infrared)` images, shuffled."""
    rows = [(i, m) for i, pair in counts.items() for m in (0, 1) for _ in range(pair[m])]
    rows = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    return [i for i, _ in rows], [m for _, m in rows]


def uneven(identities: int = 12) -> dict[int, tuple[int, int]]:
    rng = np.random.default_rng(1)
    return {i: (int(rng.integers(1, 30)), int(rng.integers(1, 30))) for i in range(identities)}


def batches(sampler: CrossModalitySampler, number: int) -> list[list]:
    return list(islice(sampler, number))


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_give_batches_in_blocks_of_the_same_identities(kind: type[CrossModalitySampler]) -> None:
    targets, modalities = images(uneven())
    sampler = kind(targets, modalities, identities_per_batch=4, instances=3, views=(2, 1))
    for batch in batches(sampler, 2 * sampler.steps):
        assert len(batch) == 4 * 3 * 3
        blocks = [batch[start : start + 12] for start in (0, 12, 24)]
        identities = [[targets[s.image] for s in block] for block in blocks]
        assert identities[0] == identities[1] == identities[2]
        assert all(count == 3 for count in Counter(identities[0]).values())
        assert [{(modalities[s.image], s.view) for s in block} for block in blocks] == [{(0, 0)}, {(0, 1)}, {(1, 0)}]
        assert [s.image for s in blocks[0]] == [s.image for s in blocks[1]]
        assert len({s.seed for s in batch}) == len(batch)


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_several_ranks_share_the_identities_of_one_plan(kind: type[CrossModalitySampler]) -> None:
    targets, modalities = images(uneven())
    whole = kind(targets, modalities, identities_per_batch=6, instances=2)
    parts = [kind(targets, modalities, identities_per_batch=6, instances=2, rank=r, world=3) for r in range(3)]
    for batch, *shares in zip(*(batches(s, 5) for s in (whole, *parts)), strict=True):
        assert sorted(batch) == sorted(sample for share in shares for sample in share)
        assert all(len({targets[s.image] for s in share}) == 2 for share in shares)


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_have_epochs_that_depend_on_seed_and_number_alone(kind: type[CrossModalitySampler]) -> None:
    targets, modalities = images(uneven())
    arguments = {"identities_per_batch": 4, "instances": 2}
    sampler, resumed, other = (kind(targets, modalities, seed=s, **arguments) for s in (5, 5, 6))
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    run = batches(sampler, 3 * sampler.steps)
    resumed.first_step = 2 * resumed.steps
    assert batches(resumed, sampler.steps) == run[2 * sampler.steps :]
    assert batches(other, sampler.steps) != run[: sampler.steps]
    assert run[: sampler.steps] != run[sampler.steps : 2 * sampler.steps]
    assert np.random.get_state()[1].tolist() == before


def test_samplers_on_sysu_have_the_papers_epoch() -> None:
    """22,258 visible and 11,909 infrared images: 696 steps at 8 x (4 + 4), about 200 at 12 x (5 + 5)."""
    visible, infrared = [np.diff(np.linspace(0, n, 396).astype(int)) for n in (22258, 11909)]
    targets, modalities = images({i: (int(v), int(r)) for i, (v, r) in enumerate(zip(visible, infrared, strict=True))})
    agw = CrossModalityIdentitySampler(targets, modalities, identities_per_batch=8, instances=4)
    assert agw.steps == 696
    balanced = BalancedCrossModalitySampler(targets, modalities, identities_per_batch=12, instances=5)
    assert 190 <= balanced.steps <= 198


def test_balanced_cross_modality_sampler_with_one_rich_identity_ends_when_its_partners_do() -> None:
    targets, modalities = images({0: (30, 30), 1: (3, 3), 2: (3, 3)})
    sampler = BalancedCrossModalitySampler(targets, modalities, identities_per_batch=2, instances=3)
    assert sampler.steps == 2
    assert all(len({targets[s.image] for s in batch}) == 2 for batch in batches(sampler, 2))


def test_balanced_cross_modality_sampler_visits_each_as_often_as_it_says() -> None:
    counts = uneven(20)
    targets, modalities = images(counts)
    sampler = BalancedCrossModalitySampler(targets, modalities, identities_per_batch=4, instances=3)
    groups = {i: max(1, min(pair) // 3) for i, pair in counts.items()}
    epoch = batches(sampler, sampler.steps)
    visits = Counter(target for batch in epoch for target in {targets[s.image] for s in batch})
    assert all(visits[i] <= groups[i] for i in visits)
    assert sampler.steps == max(t for t in range(1, 200) if sum(min(g, t) for g in groups.values()) >= 4 * t)
    for identity, pair in counts.items():
        for modality in (0, 1):
            if min(pair) >= 3:
                seen = [
                    s.image
                    for batch in epoch
                    for s in batch
                    if targets[s.image] == identity and modalities[s.image] == modality
                ]
                assert len(seen) == len(set(seen))


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_leave_out_identities_without_a_modality_with_a_warning(
    kind: type[CrossModalitySampler], log: pytest.LogCaptureFixture
) -> None:
    targets, modalities = images({0: (5, 5), 1: (5, 0), 2: (0, 5), 3: (5, 5)})
    sampler = kind(targets, modalities, identities_per_batch=2, instances=2)
    assert "2 training identities lack a modality" in log.text
    assert {targets[s.image] for batch in batches(sampler, 4) for s in batch} == {0, 3}


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_too_few_identities_are_one_error_and_no_endless_loop(kind: type[CrossModalitySampler]) -> None:
    targets, modalities = images({0: (5, 5), 1: (5, 5)})
    with pytest.raises(DataError, match="2 identities with both modalities, but a batch needs 3"):
        kind(targets, modalities, identities_per_batch=3, instances=2)
    with pytest.raises(ConfigError, match="cannot be divided among 2"):
        kind(targets, modalities, identities_per_batch=1, instances=2, world=2)


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_few_images_have_an_epoch_of_one_step(kind: type[CrossModalitySampler]) -> None:
    targets, modalities = images({0: (1, 1), 1: (1, 1)})
    sampler = kind(targets, modalities, identities_per_batch=2, instances=4)
    assert sampler.steps == 1
    assert len(batches(sampler, 1)[0]) == 16


def test_samplers_are_all_registered() -> None:
    assert [SAMPLER_REGISTRY.get(kind.__name__) for kind in KINDS] == KINDS


def test_distinct_images_sampler_draws_an_image_twice_only_where_there_are_too_few() -> None:
    targets, modalities = images({0: (3, 9), 1: (4, 4), 2: (20, 5)})
    sampler = DistinctImagesSampler(targets, modalities, identities_per_batch=3, instances=4)
    for batch in batches(sampler, 50):
        drawn: dict[tuple[int, int], list[int]] = {}
        for sample in batch:
            drawn.setdefault((targets[sample.image], modalities[sample.image]), []).append(sample.image)
        distinct = {key: len(set(some)) for key, some in drawn.items()}
        assert all(count == 4 for key, count in distinct.items() if key != (0, 0))
        assert distinct[0, 0] <= 3
    assert sampler.steps == (3 + 4 + 20) // 12 + 1
