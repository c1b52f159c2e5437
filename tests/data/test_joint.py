"""Training on several data sets at once."""

from pathlib import Path

import pytest
from helpers import small_cfg

from vireid_plugins.data import build_train_loader

NAMES = ("SYSUMM01", "RegDB")


@pytest.mark.usefixtures("data_root")
def test_build_train_loader_of_several_sets_keeps_their_identities_apart(tree: Path) -> None:
    alone = [build_train_loader(small_cfg("SYSU/agw.yml", "DATASETS.NAMES", f"('{name}',)")).images for name in NAMES]
    cfg = small_cfg("SYSU/agw.yml", "DATASETS.NAMES", str(NAMES), "SOLVER.IMS_PER_BATCH", "16")
    loader = build_train_loader(cfg)
    together = loader.images
    shared = {item[1] for item in alone[0].items} & {item[1] for item in alone[1].items}
    assert shared  # else nothing would have to be kept apart
    assert together.num_classes == loader.dataset.num_classes == sum(one.num_classes for one in alone)
    assert len(together) == sum(map(len, alone))
    of_target: dict[int, set[tuple[str, int]]] = {}
    for item, target in zip(together.items, together.targets, strict=True):
        of_target.setdefault(target, set()).add((Path(item[0]).relative_to(tree).parts[0], item[1]))
    assert all(len(people) == 1 for people in of_target.values())

    sets_of_a_batch = set()
    for _, batch in zip(range(6), loader, strict=False):
        folders = [Path(path).relative_to(tree).parts[0] for path in batch["img_paths"]]
        for folder, target in zip(folders, batch["targets"].tolist(), strict=True):
            assert {name for name, _ in of_target[target]} == {folder}
        sets_of_a_batch |= {len(set(folders))}
    assert 2 in sets_of_a_batch
