"""What holds for any list file and any training set, however lopsided."""

import itertools
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vireid_plugins.data.datasets.lists import read_ids, read_labelled_paths
from vireid_plugins.data.samplers import SAMPLER_REGISTRY
from vireid_plugins.errors import ConfigError, DataError

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PART = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:"), min_size=1
).filter(lambda text: set(text) != {"."})


@FILES
@given(st.lists(st.tuples(st.lists(PART, min_size=1, max_size=3), st.integers(0, 10**6)), min_size=1), st.booleans())
def test_read_labelled_paths_gives_the_rows_that_were_written(
    tmp_path: Path, rows: list[tuple[list[str], int]], crlf: bool
) -> None:
    file = tmp_path / "list.txt"
    expected = [("/".join(parts), label) for parts, label in rows]
    file.write_bytes(("\r\n" if crlf else "\n").join(f"{path} {label}" for path, label in expected).encode())
    assert read_labelled_paths(file) == expected


@FILES
@given(st.one_of(st.binary(max_size=200), st.text("./\\: aC\n0123-\u0660", max_size=60).map(str.encode)))
def test_read_labelled_paths_of_any_file_is_rows_in_the_folder_or_one_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    try:
        rows = read_labelled_paths(file)
    except DataError as error:
        assert "list.txt" in str(error)
        return
    for path, label in rows:
        assert label >= 0
        inside = tmp_path / PurePosixPath(path.replace("\\", "/"))
        assert tmp_path.resolve() in [inside.resolve(), *inside.resolve().parents]


@FILES
@given(st.one_of(st.binary(max_size=100), st.text("0123, -\n\u0661", max_size=40).map(str.encode)))
def test_read_ids_of_any_file_is_identities_or_one_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes(content)
    try:
        assert all(identity >= 0 for identity in read_ids(file))
    except DataError as error:
        assert "ids.txt" in str(error)


@pytest.mark.parametrize("name", ["CrossModalityIdentitySampler", "BalancedCrossModalitySampler"])
@settings(deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=12),
    P=st.integers(1, 6),
    K=st.integers(1, 4),
    world=st.integers(1, 3),
    views=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 100),
)
def test_samplers_of_any_training_set_give_whole_batches_or_one_error(
    name: str, counts: list[tuple[int, int]], P: int, K: int, world: int, views: tuple[int, int], seed: int
) -> None:
    rows = [
        (identity, modality)
        for identity, pair in enumerate(counts)
        for modality in (0, 1)
        for _ in range(pair[modality])
    ]
    assume(rows)
    targets, modalities = (list(column) for column in zip(*rows, strict=True))

    def sampler(rank: int = 0, processes: int = 1) -> object:
        return SAMPLER_REGISTRY.get(name)(
            targets, modalities, identities_per_batch=P, instances=K, views=views, seed=seed, rank=rank, world=processes
        )

    try:
        alone = sampler()
        shares = [sampler(rank, world) for rank in range(world)]
    except (ConfigError, DataError):
        whole = sum(bool(v and i) for v, i in counts)
        assert whole < P or P % world or max(np.array(counts).sum(0)) < P * K
        return
    steps = alone.steps
    batches = list(itertools.islice(alone, 2 * steps))
    blocks = sum(views)
    for batch in batches:
        assert len(batch) == P * K * blocks
        identities = np.array([targets[sample.image] for sample in batch]).reshape(blocks, P, K)
        assert (identities == identities[0, :, :1]).all()
        assert len(set(identities[0, :, 0])) == P
        seen = [(modalities[sample.image], sample.view) for sample in batch]
        assert [key for key, _ in itertools.groupby(seen)] == [(m, v) for m in (0, 1) for v in range(views[m])]
    # The processes' shares are the whole batch, and nothing twice.
    for batch, *parts in zip(batches, *shares, strict=False):
        assert sorted(batch) == sorted(sample for part in parts for sample in part)
    # A run that goes on anywhere sees what it would have seen.
    again = sampler()
    again.first_step = seed % (2 * steps)
    assert (
        list(itertools.islice(again, 3))
        == (batches + list(itertools.islice(sampler_from(sampler, 2 * steps), 3)))[again.first_step :][:3]
    )


def sampler_from(make: object, step: int) -> object:
    one = make()
    one.first_step = step
    return one
