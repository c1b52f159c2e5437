"""How often an evaluation asks the network: a guard that fails if a number grows past the committed one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers import small_cfg
from torch import Tensor, nn

from vireid_plugins.data.synthetic import LlcmSize, RegdbSize, SysuSize, write_llcm, write_regdb, write_sysu
from vireid_plugins.engine import Trainer
from vireid_plugins.evaluation import plan_test
from vireid_plugins.evaluation.features import load_features
from vireid_plugins.evaluation.trials import sides

# Images of `trees` that go through the network, by config and protocols.
PASSES = [
    ("SYSU/agw.yml", "sysu/agw/all/1shot", 241),
    ("SYSU/agw.yml", "sysu/agw/indoor/1shot", 189),
    ("SYSU/agw.yml", "sysu/official/all/1shot", 239),
    ("SYSU/agw.yml", "sysu/*", 430),
    ("RegDB/agw.yml", "regdb/v2i", 12),
    ("LLCM/agw.yml", "llcm/v2i", 141),
    ("LLCM/agw.yml", "llcm/i2v", 173),
]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees with many images of each person in each camera, most of which ten trials do not draw."""
    root = tmp_path_factory.mktemp("many")
    write_sysu(root / "SYSU-MM01", SysuSize(train=2, val=1, test=3, images=24, height=16, width=8), workers=1)
    write_llcm(root / "LLCM", LlcmSize(train=2, test=3, images=24, height=16, width=8), workers=1)
    write_regdb(root / "RegDB", RegdbSize(identities=4, images=3, height=16, width=8), workers=1)
    return root


@pytest.fixture
def many_images(trees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`$FASTREID_DATASETS` pointing at `trees`."""
    monkeypatch.setenv("FASTREID_DATASETS", str(trees))


class Asked(nn.Module):
    """A network whose feature is what 4 x 2 tiles of an image look like; counts the images that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.images: Counter[str] = Counter()

    def forward(self, batch: Any) -> Tensor:
        self.images.update(batch["img_paths"])
        return nn.functional.adaptive_avg_pool2d(batch["images"].float(), (4, 2)).flatten(1) + 1


def asked(config: str, protocols: str, out: Path, *overrides: str) -> tuple[Asked, Any, Any]:
    """A network after an evaluation, the configuration and the scores."""
    cfg = small_cfg(config, "TEST.PROTOCOLS", f"['{protocols}']", "OUTPUT_DIR", str(out), *overrides)
    out.mkdir(exist_ok=True)
    model = Asked()
    return model, cfg, Trainer.test(cfg, model)


@pytest.mark.usefixtures("many_images")
@pytest.mark.parametrize(("config", "protocols", "most"), PASSES)
def test_evaluation_asks_the_network_once_for_what_trials_use(
    config: str, protocols: str, most: int, tmp_path: Path
) -> None:
    model, cfg, _ = asked(config, protocols, tmp_path)
    assert set(model.images.values()) == {1}
    plan = plan_test(cfg, cfg.DATASETS.TESTS[0])
    trials = [(sides(protocol), trial) for protocol in plan.protocols for trial in plan.trials(protocol)]
    used = {
        str(plan.dataset.folder / plan.images.paths[modality][position])
        for of, trial in trials
        for modality, positions in zip(of, trial, strict=True)
        for position in positions
    }
    assert set(model.images) == used
    assert len(used) <= most, "an evaluation asks for more images than it did"


@pytest.mark.usefixtures("many_images")
def test_evaluation_asks_for_mirror_images_only_with_the_flip(tmp_path: Path) -> None:
    model, *_ = asked("SYSU/agw.yml", "sysu/agw/indoor/1shot", tmp_path, "TEST.FLIP.ENABLED", "True")
    assert set(model.images.values()) == {2}


@pytest.mark.usefixtures("many_images")
def test_evaluation_that_saves_features_asks_for_every_image_and_scores_the_same(tmp_path: Path) -> None:
    few, cfg, scores = asked("SYSU/agw.yml", "sysu/agw/indoor/1shot", tmp_path / "few", "TEST.COMPARE_RANDOM", "True")
    keys = ("TEST.SAVE_FEATURES", "True", "TEST.COMPARE_RANDOM", "True")
    every, _, expected = asked("SYSU/agw.yml", "sysu/agw/indoor/1shot", tmp_path / "every", *keys)
    assert set(few.images) < set(every.images)
    dataset = plan_test(cfg, "SYSUMM01").dataset
    items = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    assert load_features(tmp_path / "every" / "features_SYSUMM01.npz").paths == items
    assert scores == expected
    reports = [(tmp_path / name / "evaluation_queries.npz").read_bytes() for name in ("few", "every")]
    assert reports[0] == reports[1]
