from collections import Counter

import numpy as np
import pytest
import torch
from helpers import small_cfg

from vireid_plugins.data.batch import check_apart, check_blocks
from vireid_plugins.data.samplers import ApartSampler
from vireid_plugins.errors import ConfigError, DataError


def clustered(clusters: tuple[int, int] = (7, 9), size: int = 6, cameras: int = 3) -> tuple[list[int], ...]:
    """Modalities, cameras and labels of clusters of `size` images; one more image of each modality is noise."""
    rows = [(m, i % cameras, k) for m in (0, 1) for k in range(clusters[m]) for i in range(size)]
    rows += [(0, 0, -1), (1, 0, -1)]
    rows = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    return tuple([row[column] for row in rows] for column in range(3))


def sampler_of(images: tuple[list[int], ...], **arguments: object) -> ApartSampler:
    modalities, cameras, labels = images
    given = {"identities": (2, 3), "instances": 4, "steps": 5, "views": (2, 1), **arguments}
    sampler = ApartSampler(modalities, cameras, **given)  # type: ignore[arg-type]
    sampler.set_labels(labels)
    return sampler


def test_apart_sampler_gives_blocks_whose_modalities_have_nothing_in_common() -> None:
    images = clustered()
    modalities, _, labels = images
    for batch in sampler_of(images):
        blocks = [batch[:8], batch[8:16], batch[16:]]
        assert len(blocks[2]) == 12
        assert [{(modalities[s.image], s.view) for s in block} for block in blocks] == [{(0, 0)}, {(0, 1)}, {(1, 0)}]
        assert [s.image for s in blocks[0]] == [s.image for s in blocks[1]]
        assert all(s.label == labels[s.image] >= 0 for s in batch)
        assert [len(set(Counter(s.label for s in block).values())) for block in blocks] == [1, 1, 1]
        assert len({s.seed for s in batch}) == len(batch)


def test_apart_sampler_ends_with_its_epoch_and_resumes_within_it() -> None:
    images = clustered()
    whole = sampler_of(images)
    whole.first_step = 5
    epoch = list(whole)
    assert len(epoch) == 5
    assert epoch != list(sampler_of(images))
    resumed = sampler_of(images)
    resumed.first_step = 8
    assert list(resumed) == epoch[3:]


def test_apart_sampler_visits_each_cluster_once_in_a_pass() -> None:
    """7 clusters, 2 a batch: a pass has three batches, and one cluster is left out of each."""
    batches = list(sampler_of(clustered(), steps=6))
    for start in (0, 3):
        seen = Counter(s.label for batch in batches[start : start + 3] for s in batch[:8])
        assert len(seen) == 6
        assert set(seen.values()) == {4}


def test_apart_sampler_prefers_other_cameras_than_that_of_the_first_image() -> None:
    images = clustered(size=12)
    cameras = images[1]
    for batch in sampler_of(images):
        for group in np.array([s.image for s in batch]).reshape(-1, 4):
            seen = [cameras[image] for image in group]
            assert seen[0] not in seen[1:]
            # Eight images of other cameras are enough for three different ones.
            assert len(set(group)) == 4
    everywhere = [cameras[s.image] for batch in sampler_of(images, other_cameras=False) for s in batch]
    groups = np.array(everywhere).reshape(-1, 4)
    assert (groups[:, :1] == groups[:, 1:]).any()


def test_apart_sampler_of_one_camera_draws_the_other_images() -> None:
    images = clustered(size=3, cameras=1)
    for batch in sampler_of(images):
        for group in np.array([s.image for s in batch]).reshape(-1, 4):
            assert group[0] not in group[1:]


def test_apart_samplers_of_several_ranks_share_one_plan() -> None:
    images = clustered()
    whole = sampler_of(images, identities=(2, 4))
    parts = [sampler_of(images, identities=(2, 4), rank=rank, world=2) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(sample for share in shares for sample in share)


@pytest.mark.parametrize(
    ("clusters", "identities", "text"),
    [
        (
            (1, 9),
            (2, 3),
            "6 of 7 visible images are in clusters, 1 of them, but a batch needs 2: lower USL.CLUSTER.EPS, or",
        )
    ],
)
def test_apart_sampler_with_too_few_clusters_says_how_many(
    clusters: tuple[int, int], identities: tuple[int, int], text: str
) -> None:
    with pytest.raises(DataError, match=text):
        sampler_of(clustered(clusters), identities=identities)


def test_apart_sampler_with_mostly_noise_advises_a_larger_radius() -> None:
    modalities, cameras, labels = clustered()
    labels = [label if label == 0 else -1 for label in labels]
    with pytest.raises(DataError, match=r"6 of 43 visible images are in clusters, 1 of them.*: raise USL.CLUSTER.EPS"):
        sampler_of((modalities, cameras, labels))


def test_apart_sampler_with_noise_alone_says_so() -> None:
    modalities, cameras, labels = clustered()
    with pytest.raises(DataError, match=r"none of 43 visible images is in a cluster.*: raise USL.CLUSTER.EPS"):
        sampler_of((modalities, cameras, [-1] * len(labels)))


def test_apart_sampler_without_images_of_a_modality_says_so() -> None:
    with pytest.raises(DataError, match="no infrared images, but a batch needs 3 clusters"):
        ApartSampler([0] * 9, [1] * 9, identities=(2, 3))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["SOLVER.IMS_PER_BATCH", "64"], "must be 48, the 8 \\+ 16 clusters"),
        (["DATALOADER.APART.IDENTITIES", "[8]"], "two whole numbers above 0"),
        (["DATALOADER.APART.STEPS", "0"], "APART.STEPS: must be at least 1"),
        (["SOLVER.ACCUMULATE", "2"], "SOLVER.ACCUMULATE"),
        (["TEST.PRECISE_BN.ENABLED", "True"], "TEST.PRECISE_BN"),
    ],
)
def test_apart_sampler_refuses_keys_that_do_not_fit(overrides: list[str], text: str) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_INSTANCE", "2", "SOLVER.IMS_PER_BATCH", "48", *overrides)
    with pytest.raises(ConfigError, match=text):
        ApartSampler.check(cfg)


def apart_batch() -> dict[str, object]:
    return {
        "modalities": torch.tensor([0, 0, 0, 0, 1, 1, 1]),
        "views": torch.tensor([0, 0, 1, 1, 0, 0, 0]),
        "targets": torch.tensor([3, 4, 3, 4, 0, 1, 1]),
        "img_paths": ["a", "b", "a", "b", "c", "d", "e"],
    }


def test_check_apart_accepts_unequal_modalities_which_losses_of_identities_do_not() -> None:
    check_apart(apart_batch())
    with pytest.raises(ValueError, match="all of equal length"):
        check_blocks(apart_batch())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("img_paths", ["a", "b", "b", "a", "c", "d", "e"]),
        ("targets", torch.tensor([3, 4, 3, 5, 0, 1, 1])),
        ("views", torch.tensor([0, 1, 1, 1, 0, 0, 0])),
        ("modalities", torch.tensor([1, 1, 1, 1, 0, 0, 0])),
        ("modalities", torch.tensor([0, 0, 0, 0, 0, 0, 0])),
    ],
)
def test_check_apart_refuses_rows_in_another_order(column: str, value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        check_apart({**apart_batch(), column: value})


def test_apart_sampler_without_the_clusters_of_the_epoch_is_an_error() -> None:
    modalities, cameras, _ = clustered()
    sampler = ApartSampler(modalities, cameras, identities=(2, 3), instances=4, steps=5, views=(2, 1))
    with pytest.raises(ValueError, match="call set_labels"):
        next(iter(sampler))


def test_apart_sampler_of_clusters_that_the_processes_cannot_share_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"DATALOADER\.APART\.IDENTITIES: \[2, 3\] clusters .* among 2 processes"):
        sampler_of(clustered(), rank=0, world=2)
