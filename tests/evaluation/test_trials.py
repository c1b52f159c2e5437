"""Invariants of every protocol's trials, and the reference loaders' draws written from their descriptions."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from vireid_plugins.data.datasets import LLCM
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.evaluation.evaluate import dataset_of
from vireid_plugins.evaluation.trials import Trial, draw_trials

INFRARED = ("cam3/", "cam6/", "Thermal/", "test_nir/", "infrared/")


def trials(tree: Path, name: str) -> list[Trial]:
    protocol = PROTOCOLS[name]
    return draw_trials(dataset_of(protocol.dataset, tree, 3 if protocol.dataset == "RegDB" else None), protocol)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_draw_trials_of_every_protocol_keeps_its_invariants(tree: Path, name: str) -> None:
    protocol = PROTOCOLS[name]
    found = trials(tree, name)
    assert len(found) == protocol.trials
    for trial in found:
        for side in trial:
            assert len(side) == len(set(side)) > 0
        query_is_infrared = protocol.direction == "i2v"
        assert all(path.startswith(INFRARED) == query_is_infrared for path in trial.query)
        assert all(path.startswith(INFRARED) != query_is_infrared for path in trial.gallery)
        drawn = trial.query if protocol.drawn == "query" else trial.gallery
        homes = [path.rpartition("/")[0] for path in drawn]
        if protocol.shots:
            assert max(homes.count(home) for home in homes) <= protocol.shots
        # Every draw has the same identities and cameras, so the queries that count are the same in every trial.
        assert set(homes) == {path.rpartition("/")[0] for path in getattr(found[0], protocol.drawn)}
    if protocol.draw != "everything" and protocol.shots == 1:
        assert len({tuple(getattr(trial, protocol.drawn)) for trial in found}) > 1
    whole = "gallery" if protocol.drawn == "query" else "query"
    assert all(getattr(trial, whole) == getattr(found[0], whole) for trial in found)
    assert found == trials(tree, name)
    assert len(protocol.about) > 20


def test_protocols_have_every_name_in_print() -> None:
    official = {f"sysu/official/{mode}/{shots}shot" for mode in ("all", "indoor") for shots in (1, 10)}
    agw = {f"sysu/agw/{mode}/1shot" for mode in ("all", "indoor")}
    regdb = {f"regdb/{direction}{form}" for direction in ("v2i", "i2v") for form in ("", "/distinct_id")}
    llcm = {f"llcm/{name}" for name in ("v2i", "i2v", "v2i_transposed", "full/v2i", "full/i2v")}
    assert official | agw | regdb | llcm | {"sysu/val/1shot", "own/v2i", "own/i2v"} == set(PROTOCOLS)


@pytest.mark.parametrize(("name", "suffix"), [("llcm/i2v", "vis"), ("llcm/v2i", "nir"), ("llcm/v2i_transposed", "nir")])
def test_draw_trials_of_llcm_is_the_reference_loaders_draw(tree: Path, name: str, suffix: str) -> None:
    """Seed, sorted identities, cameras in order, one choice each, whatever the protocol then does with the draw."""
    folder = tree / "LLCM"
    cameras = range(1, 10) if suffix == "vis" else (1, 2, 4, 5, 6, 7, 8, 9)
    identities = sorted(int(word) for word in (folder / "idx" / "test_id.txt").read_text().split(","))
    for number, trial in enumerate(trials(tree, name)):
        generator = random.Random(number)
        expected = []
        for identity in identities:
            for camera in cameras:
                home = f"test_{suffix}/cam{camera}/{identity:04d}"
                if (folder / home).is_dir():
                    expected.append(f"{home}/{generator.choice(sorted(f.name for f in (folder / home).iterdir()))}")
        assert getattr(trial, PROTOCOLS[name].drawn) == expected


def test_draw_trials_of_llcm_full_holds_every_image(tree: Path) -> None:
    everything = sum(count["images"] for key, count in LLCM(root=str(tree)).census().items() if key.startswith("test"))
    everything //= 2  # once by modality, once more by camera
    for name in ("llcm/full/v2i", "llcm/full/i2v"):
        (trial,) = trials(tree, name)
        assert len(trial.query) + len(trial.gallery) == everything


def test_draw_trials_of_regdb_takes_its_split(tree: Path) -> None:
    (trial,) = trials(tree, "regdb/v2i")
    (turned,) = trials(tree, "regdb/i2v")
    assert (sorted(trial.query), sorted(trial.gallery)) == (sorted(turned.gallery), sorted(turned.query))
    lines = (tree / "RegDB" / "idx" / "test_visible_3.txt").read_text().splitlines()
    assert sorted(trial.query) == sorted(line.split()[0] for line in lines)


def test_draw_trials_of_what_the_data_set_does_not_have_is_one_error(tree: Path) -> None:
    dataset, protocol = LLCM(root=str(tree)), PROTOCOLS["llcm/i2v"]
    with pytest.raises(ConfigError, match="LLCM has no official draws"):
        draw_trials(dataset, replace(protocol, draw="official"))
    with pytest.raises(ConfigError, match="llcm/i2v: mode: unknown value 'indoor'"):
        draw_trials(dataset, replace(protocol, mode="indoor"))
