import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastreid.config import CfgNode
from helpers import small_cfg

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.engine.bound_keys import AVERAGE, BATCHES, OPTIMIZER, RATES
from vireid_plugins.engine.provenance import BINDING, check_resumed, network_facts, training_facts
from vireid_plugins.errors import DataError

KIND = dict.fromkeys(BINDING, "the same")


def facts(*overrides: str) -> dict[str, Any]:
    return KIND | network_facts(small_cfg("SYSU/one_stream.yml", "SOLVER.EMA_DECAY", "0.9", *overrides))


@pytest.mark.usefixtures("little_root")
def test_training_facts_name_the_same_images_as_at_earlier_commits(little_tree: Path) -> None:
    """A digest of another form would refuse to resume every older checkpoint."""
    cfg = small_cfg("SYSU/one_stream.yml")
    train = TrainImages([SYSUMM01(root=str(little_tree))], None, (64, 32), "bilinear")
    digest = hashlib.sha256()
    for (path, _, camera), target, modality in zip(train.items, train.targets, train.modalities, strict=True):
        folder, person, name = Path(path).parts[-3:]
        digest.update(f"{folder}/{person}/{name} {target} {camera} {modality}\n".encode())
    assert training_facts(cfg, train)["digest"] == digest.hexdigest()[:16]


# Another value of each key that a checkpoint binds, and one of each part of the network.
REFUSED = {
    "SOLVER.OPT": "SGD",
    "SOLVER.WEIGHT_DECAY": "0.1",
    "SOLVER.WEIGHT_DECAY_NORM": "0.1",
    "SOLVER.WEIGHT_DECAY_BIAS": "0.1",
    "SOLVER.BIAS_LR_FACTOR": "3.0",
    "SOLVER.HEADS_LR_FACTOR": "3.0",
    "SOLVER.LR_FACTORS": "[['heads..*', 0.5]]",
    "SEED": "7",
    "SOLVER.IMS_PER_BATCH": "32",
    "DATALOADER.NUM_INSTANCE": "4",
    "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
    "DATALOADER.APART.IDENTITIES": "[4, 4]",
    "DATALOADER.APART.OTHER_CAMERAS": "False",
    "SOLVER.EMA_DECAY": "0.0",
    "MODEL.META_ARCHITECTURE": "WRIMNet",
    "MODEL.HEADS.POOL_LAYER": "GlobalMaxPool",
    "MODEL.STREAMS.COUNT": "2",
    "MODEL.STREAMS.MAX_POOL": "torchvision",
    "INPUT.SIZE_TRAIN": "[96, 48]",
}


@pytest.mark.parametrize("key", REFUSED)
def test_check_resumed_refuses_each_key_that_a_checkpoint_binds_by_name(key: str) -> None:
    then, now = facts(), facts(key, REFUSED[key])
    with pytest.raises(DataError, match=rf"^checkpoint 'x.pth' cannot be resumed: .*{key} is .*, was .*MODEL\.WEIGHTS"):
        check_resumed("x.pth", then, now)
    with pytest.raises(DataError, match=rf"{key} is "):
        check_resumed("x.pth", now, then)


def test_check_resumed_is_tried_with_every_key_of_the_tables() -> None:
    assert {*OPTIMIZER, *BATCHES, *AVERAGE} <= set(REFUSED)


def _value(cfg: CfgNode, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.mark.parametrize("key", [*RATES, "MODEL.LOSSES.NAME", "INPUT.VIEWS.VISIBLE", "SOLVER.ACCUMULATE"])
def test_check_resumed_announces_keys_that_are_used_from_then_on(key: str, log: pytest.LogCaptureFixture) -> None:
    before = _value(small_cfg("SYSU/one_stream.yml"), key)
    other = {bool: not before, int: 7, float: 0.25, str: "constant", list: "['x']", tuple: "('x',)"}[type(before)]
    check_resumed("x.pth", facts(), facts(key, str(other)))
    assert f"the resumed run has different keys: {key}: " in log.text


def test_check_resumed_names_keys_that_differ_besides_those_that_are_refused() -> None:
    with pytest.raises(DataError, match=r"resumed: SOLVER\.OPT is SGD, was Adam; keys that differ: SOLVER\.BASE_LR: "):
        check_resumed("x.pth", facts(), facts("SOLVER.OPT", "SGD", "SOLVER.BASE_LR", "0.5"))


def test_check_resumed_of_a_checkpoint_that_lacks_a_key_does_not_compare_it() -> None:
    then = facts()
    then["config"] = "\n".join(line for line in then["config"].splitlines() if "EMA_DECAY" not in line)
    check_resumed("x.pth", then, facts("SOLVER.EMA_DECAY", "0.5"))
    check_resumed("x.pth", facts("SOLVER.EMA_DECAY", "0.5"), then)
