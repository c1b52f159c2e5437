"""Trainings that learn from clusters: what an epoch begins with, and how they go on after a stop."""

import argparse
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from devices import on_forked_devices
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from helpers import small_cfg, vireid

from vireid_plugins.config import CfgNode
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.dry_run import dry_run
from vireid_plugins.engine.hooks.clustering import Clustering
from vireid_plugins.engine.runs import load_run, scored_config
from vireid_plugins.engine.train import evaluate, train
from vireid_plugins.engine.training_features import training_features
from vireid_plugins.errors import ConfigError, DataError, StoppedError
from vireid_plugins.search import Extractor, Gallery
from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.querying import Wanted, query_images
from vireid_plugins.visualize import extract, pairs_of

# Six steps an epoch, in one small batch of 2 visible and 3 infrared clusters.
CLUSTERS = [
    *("DATALOADER.APART.IDENTITIES", "[2, 3]", "DATALOADER.APART.STEPS", "6", "SOLVER.IMS_PER_BATCH", "10"),
    *("USL.CLUSTER.K1", "6", "USL.CLUSTER.K2", "2", "USL.CLUSTER.MIN_SAMPLES", "2", "USL.CLUSTER.EPS", "[0.55, 0.55]"),
    *("TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[1]"),
]


def cfg_of(folder: Path, *overrides: str, config: str = "SYSU/adca_stage1.yml") -> CfgNode:
    return small_cfg(config, *CLUSTERS, "OUTPUT_DIR", str(folder), *overrides)


def started(cfg: CfgNode, resume: bool = False) -> Trainer:
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer


def flat(state: dict[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        found |= flat(value, f"{name} ") if isinstance(value, dict) else {prefix + name: torch.as_tensor(value)}
    return found


def trained(cfg: CfgNode, resume: bool = False) -> Trainer:
    trainer = started(cfg, resume)
    trainer.scores = trainer.train()
    return trainer


def assert_same(one: Trainer, other: Trainer) -> None:
    for (name, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for name, rows in one.model.epoch_state.memories.items():
        assert torch.equal(rows, other.model.epoch_state.memories[name]), name
    assert torch.equal(one.model.epoch_state.labels, other.model.epoch_state.labels)


def train_together(args: argparse.Namespace) -> None:
    """Train in one of several processes, and write what it knows at the end."""
    folder = Path(args.folder)
    cfg = cfg_of(folder / "out", "DATALOADER.APART.IDENTITIES", "[2, 2]", "SOLVER.IMS_PER_BATCH", "8")
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.train()
    features = training_features(cfg, trainer.clustering.model, trainer.data_loader.images)
    state = trainer.clustering.state_dict()
    torch.save({"state": state, "features": features}, folder / f"{comm.get_rank()}.pth")


@pytest.fixture(scope="module")
def whole(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(little_tree))
        return trained(cfg_of(tmp_path_factory.mktemp("whole")))


def test_training_from_clusters_scores_and_writes_how_good_they_are(whole: Trainer) -> None:
    assert "Rank-1" in whole.scores
    metrics = (Path(whole.cfg.OUTPUT_DIR) / "metrics.json").read_text()
    for name in ("clusters_visible", "noise_infrared", "nmi_visible", "ari_infrared", "purity_visible"):
        assert name in metrics
    assert whole.clustering.scores["clusters_visible"] >= 2


@pytest.mark.parametrize("step", [3, 9], ids=["first epoch", "second epoch"])
@pytest.mark.usefixtures("little_root")
def test_training_stopped_within_an_epoch_goes_on_bit_for_bit(
    whole: Trainer, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = cfg_of(tmp_path)
    dying = started(cfg)
    run_step = dying.run_step

    def stops() -> None:
        run_step()
        if dying.iter == step:
            os.kill(os.getpid(), signal.SIGTERM)

    dying.run_step = stops
    with pytest.raises(StoppedError):
        dying.train()
    saved = load_checkpoint(tmp_path / "last.pth")
    assert saved["iteration"] == step + 1
    again = started(cfg, resume=True)
    clustered = []
    clusters = again.clustering._clustered
    monkeypatch.setattr(again.clustering, "_clustered", lambda f: clustered.append(again.iter) or clusters(f))
    again.scores = again.train()
    # Labels and memories of the epoch were restored, and not made anew from weights that have moved.
    assert clustered == [6] * (step < 6)
    assert_same(whole, again)
    assert again.scores["metric"] == whole.scores["metric"]


@pytest.mark.usefixtures("little_root")
def test_training_in_two_processes_has_one_state(tmp_path: Path) -> None:
    """The main one clusters the images of both, and memories are changed by the rows of both."""
    (tmp_path / "out").mkdir()
    on_forked_devices(train_together, 2, folder=str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=False) for rank in range(2))
    assert second["features"] is None
    assert len(first["features"]) == len(first["state"]["state"]["labels"]) == 54
    # Images in the order of the data set, though each process has embedded a half of them.
    assert np.abs(np.linalg.norm(first["features"], axis=1) - 1).max() < 0.2
    assert first["state"]["scores"] == second["state"]["scores"]
    one, other = (flat(found["state"]["state"]) for found in (first, second))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.usefixtures("little_root")
def test_training_killed_within_an_epoch_goes_on_from_its_beginning_bit_for_bit(whole: Trainer, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path)
    dying = started(cfg)
    run_step = dying.run_step

    def dies() -> None:
        if dying.iter == 8:
            raise KeyboardInterrupt
        run_step()

    dying.run_step = dies
    with pytest.raises(KeyboardInterrupt):
        dying.train()
    assert_same(whole, trained(cfg, resume=True))


@pytest.mark.usefixtures("little_root")
def test_training_from_clusters_reads_no_identity(
    whole: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = TrainImages.__init__

    def shuffled(self: TrainImages, *args: object, **arguments: object) -> None:
        build(self, *args, **arguments)  # type: ignore[arg-type]
        self.targets = self.truth = np.random.default_rng(0).permutation(self.targets).tolist()

    monkeypatch.setattr(TrainImages, "__init__", shuffled)
    other = trained(cfg_of(tmp_path))
    assert other.clustering.scores["nmi_visible"] != whole.clustering.scores["nmi_visible"]
    assert_same(whole, other)
    facts = [one.checkpointer.facts for one in (whole, other)]
    assert facts[0]["digest"] == facts[1]["digest"]
    assert facts[0]["identities"] == "not read"


@pytest.mark.usefixtures("little_root")
def test_training_with_one_labeled_modality_has_its_identities_as_clusters(tmp_path: Path) -> None:
    short = ["SOLVER.MAX_EPOCH", "1", "DATALOADER.APART.STEPS", "1", "USL.CLUSTER.LABELED", "visible"]
    trainer = trained(cfg_of(tmp_path, *short, config="SYSU/adca_stage1.yml"))
    images = trainer.data_loader.images
    visible = np.asarray(images.modalities) == 0
    np.testing.assert_array_equal(trainer.model.epoch_state.labels[visible], np.asarray(images.targets)[visible])
    assert trainer.clustering.scores["purity_visible"] == 1
    assert trainer.clustering.scores["purity_infrared"] < 1
    assert "identities" not in trainer.checkpointer.facts
    # What starts from its weights has read them, too; a later stage among others.
    words = ["SOLVER.MAX_EPOCH", "1", "MODEL.WEIGHTS", str(tmp_path / "model_final.pth")]
    next_one = started(cfg_of(tmp_path / "next", *words))
    assert "identities" not in next_one.checkpointer.facts


@pytest.mark.usefixtures("little_root")
def test_clusters_are_compared_with_right_labels_where_wrong_ones_are_trained(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    short = ["SOLVER.MAX_EPOCH", "1", "DATALOADER.APART.STEPS", "1", "DATASETS.WRONG_LABELS.SHARE", "0.5"]
    trainer = trained(cfg_of(tmp_path / "labeled", *short, "USL.CLUSTER.LABELED", "visible"))
    assert trainer.clustering.scores["purity_visible"] < 1
    assert "50 % of the training labels of visible images are wrong" in log.text
    log.clear()
    started(cfg_of(tmp_path / "unlabeled", *short))
    assert "DATASETS.WRONG_LABELS: has no effect, since no labels are trained on" in log.text
    assert "are wrong" not in log.text


@pytest.mark.usefixtures("little_root")
def test_training_features_use_no_random_number_and_restore_the_modes(whole: Trainer) -> None:
    model = whole.model
    model.train()
    model.backbone.eval()
    state = torch.get_rng_state()
    features = training_features(whole.cfg, model, whole.data_loader.images)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.backbone.training
    assert features is not None
    assert features.shape[0] == len(whole.data_loader.images)
    assert np.linalg.norm(features, axis=1).max() <= 1 + 1e-6
    np.testing.assert_array_equal(features, training_features(whole.cfg, model, whole.data_loader.images))


@pytest.mark.usefixtures("little_root")
def test_training_with_noise_alone_is_one_error_at_its_epoch_and_loses_nothing(tmp_path: Path) -> None:
    none = ["USL.CLUSTER.EPS", "[0.001, 0.001]", "USL.CLUSTER.MIN_SAMPLES", "9"]
    with pytest.raises(DataError, match=r"epoch 1: none of 36 visible images is in a cluster"):
        trained(cfg_of(tmp_path / "first", *none))
    assert not list((tmp_path / "first").glob("*.pth"))
    cfg = cfg_of(tmp_path / "later", "SOLVER.CHECKPOINT_PERIOD", "9", "TEST.EVAL_PERIOD", "9")
    failing = started(cfg)
    cluster = failing.clustering._clustered

    def clustered(features: np.ndarray) -> object:
        state = cluster(features)
        if failing.epoch:
            state.labels.fill_(-1)
        return state

    failing.clustering._clustered = clustered
    with pytest.raises(DataError, match=r"epoch 2: none of .* the run is saved as .*last.pth', from which --resume"):
        failing.train()
    assert load_checkpoint(tmp_path / "later" / "last.pth")["iteration"] == 6
    assert started(cfg, resume=True).train() is not None


@pytest.mark.usefixtures("little_root")
def test_training_with_noise_alone_in_the_second_stage_says_that_the_first_is_saved(tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path, "SOLVER.MAX_EPOCH", "1", "DATALOADER.APART.STEPS", "1", config="SYSU/adca.yml")
    cfg.USL.STAGES[1] += ["USL.CLUSTER.EPS", [0.001, 0.001], "USL.CLUSTER.MIN_SAMPLES", 9]
    with pytest.raises(DataError, match=r"epoch 1: none of .*; stage 1 is saved, from which --resume continues"):
        train(cfg, resume=False)
    cfg.USL.STAGES[1] = ["USL.CLUSTER.EPS", [0.4, 0.4], "USL.CLUSTER.MIN_SAMPLES", 1]
    assert train(cfg, resume=True) is not None


@pytest.mark.usefixtures("little_root")
def test_training_in_stages_goes_on_where_it_was_stopped_and_starts_anew_in_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["SOLVER.MAX_EPOCH", "1", "DATALOADER.APART.STEPS", "4"]
    cfg = cfg_of(tmp_path / "run", *short, config="SYSU/adca.yml")
    run_step = Trainer.run_step
    stop = [0]

    def stops(self: Trainer) -> None:
        run_step(self)
        stop[0] -= 1
        if not stop[0]:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "run_step", stops)
    for left in (1, 4):
        stop[0] = left
        with pytest.raises(StoppedError):
            train(cfg, resume=True)
    monkeypatch.setattr(Trainer, "run_step", run_step)
    # The second stage has begun, and needs the first no more.
    (tmp_path / "run" / "stage1").rename(tmp_path / "first")
    assert train(cfg, resume=True)["metric"] >= 0
    assert not (tmp_path / "run" / "stage1").exists()
    (tmp_path / "first").rename(tmp_path / "run" / "stage1")
    assert train(cfg, resume=True) is None
    first, second = (load_checkpoint(tmp_path / "run" / name) for name in ("stage1/last.pth", "last.pth"))
    assert first["clusters"]["state"]["association"] == {}
    assert set(second["clusters"]["state"]["association"]) == {"r2i", "i2r"}
    steps = {float(one["step"]) for one in second["optimizer"]["state"].values()}
    assert steps == {4.0}
    # The second stage is what it is alone, from the weights of the first.
    alone = [*short, "USL.STAGES", "[]", "MODEL.WEIGHTS", str(tmp_path / "run" / "stage1" / "model_final.pth")]
    seed_all_rng(0)
    trainer = trained(cfg_of(tmp_path / "alone", *alone, config="SYSU/adca.yml"))
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, second["model"][name]), name


@pytest.mark.usefixtures("little_root")
def test_training_in_stages_resumed_with_more_epochs_lengthens_the_last_alone(tmp_path: Path) -> None:
    short = ["DATALOADER.APART.STEPS", "2", "SOLVER.STEPS", "[]"]
    once, twice = (
        cfg_of(tmp_path, *short, "SOLVER.MAX_EPOCH", epochs, config="SYSU/adca.yml") for epochs in ("1", "2")
    )
    train(once, resume=False)
    first = (tmp_path / "stage1" / "model_final.pth").read_bytes()
    train(twice, resume=True)
    assert (tmp_path / "stage1" / "model_final.pth").read_bytes() == first
    assert load_checkpoint(tmp_path / "model_final.pth")["epoch"] == 1


@pytest.mark.usefixtures("little_root")
def test_training_resumed_within_an_epoch_of_other_length_names_the_key(tmp_path: Path) -> None:
    dying = started(cfg_of(tmp_path))
    run_step = dying.run_step

    def stops() -> None:
        run_step()
        os.kill(os.getpid(), signal.SIGTERM)

    dying.run_step = stops
    with pytest.raises(StoppedError):
        dying.train()
    with pytest.raises(DataError, match=r"an epoch now has 4; resume it with its former DATALOADER.APART.STEPS"):
        started(cfg_of(tmp_path, "DATALOADER.APART.STEPS", "4"), resume=True)


def test_training_on_two_folders_of_crops_ends_in_a_model_that_searches(little_tree: Path, tmp_path: Path) -> None:
    """Images of a RegDB, whose names say nothing of who is on them."""
    for name, source in (("visible", "Visible"), ("infrared", "Thermal")):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number, image in enumerate(sorted((little_tree / "RegDB" / source).rglob("*.bmp"))):
            shutil.copy(image, tmp_path / "frames" / name / f"{number}.bmp")
    short = ["SOLVER.MAX_EPOCH", "1", "DATALOADER.APART.STEPS", "2", "TEST.PROTOCOLS", "[]"]
    folders = [
        *("DATASETS.OWN.ROOT", str(tmp_path / "frames")),
        *("USL.CLUSTER.MIN_SAMPLES", "1", "USL.CLUSTER.EPS", "[0.3, 0.3]"),
    ]
    cfg = cfg_of(tmp_path / "run", *short, *folders, config="own/adca.yml")
    assert train(cfg, resume=False) is None
    assert train(cfg, resume=True) is None
    facts = load_checkpoint(tmp_path / "run" / "model_final.pth")["vireid"]
    assert facts["num_classes"] == 0
    assert facts["identities"] == "not read"
    extractor = Extractor(load_run(str(tmp_path / "run")))
    index_images(extractor, tmp_path / "frames", tmp_path / "index", "folder")
    with Gallery.load(tmp_path / "index") as gallery:
        found, unread = query_images(
            gallery, extractor, tmp_path / "frames" / "infrared" / "0.bmp", "infrared", Wanted(3, "visible")
        )
    assert not unread
    assert [Path(hit.path).parent.name for hit in found[0].hits] == ["visible"] * 3
    with pytest.raises(ConfigError, match=r"DATASETS.TESTS: is empty, so there is nothing to score"):
        evaluate(load_run(str(tmp_path / "run")))
    # What draws or writes a report of test images says the same.
    for draw in (extract, lambda cfg: pairs_of(cfg, 1)):
        with pytest.raises(ConfigError, match=r"DATASETS.TESTS: is empty, so there is nothing to score or to draw"):
            draw(load_run(str(tmp_path / "run")))
    ran = vireid("export", str(tmp_path / "run"), "--output", str(tmp_path / "exported"), "--compare")
    assert "DATASETS.TESTS: is empty, so there is nothing to score or to draw" in ran.stderr
    assert not (tmp_path / "exported").exists()
    labeled = ["DATASETS.OWN.ROOT", str(little_tree / "own"), "DATASETS.OWN.TEST_SHARE", "1"]
    assert "Rank-1" in evaluate(scored_config(str(tmp_path / "run"), labeled, on=["OwnFolder"]))


@pytest.mark.usefixtures("little_root")
def test_dry_run_takes_steps_with_made_up_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clustering, "before_epoch", lambda self: pytest.fail("all images were embedded"))
    found = dry_run(cfg_of(tmp_path / "none", "DATALOADER.APART.STEPS", "2", config="SYSU/adca.yml"), steps=1)
    assert found.steps == 2
    assert found.loss > 0
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("config", "overrides", "text"),
    [
        ("SYSU/adca_stage1.yml", ["DATALOADER.SAMPLER_TRAIN", "CrossModalityIdentitySampler"], "which ApartSampler"),
        ("SYSU/adca_stage1.yml", ["USL.CLUSTER.EPS", "[0.6]"], "USL.CLUSTER.EPS: must be two numbers"),
        ("SYSU/adca_stage1.yml", ["USL.CLUSTER.EPS", "[0.6, 'x']"], r"USL.CLUSTER.EPS: must be two numbers.*'x'"),
        ("SYSU/adca_stage1.yml", ["USL.CLUSTER.K2", "99"], "USL.CLUSTER.K2: must be at most"),
        (
            "SYSU/adca_stage1.yml",
            ["USL.CLUSTER.MIN_SAMPLES", "0"],
            "USL.CLUSTER.MIN_SAMPLES: must be at least 1, got 0",
        ),
        ("SYSU/adca_stage1.yml", ["USL.CLUSTER.LABELED", "both"], "USL.CLUSTER.LABELED: unknown value 'both'"),
        ("SYSU/one_stream.yml", ["DATALOADER.SAMPLER_TRAIN", "ApartSampler"], "learns from identities"),
        ("SYSU/adca_stage1.yml", ["MODEL.LOSSES.NAME", "['HardTriplet']"], "HardTriplet needs identities"),
    ],
)
@pytest.mark.usefixtures("little_root")
def test_training_refuses_a_sampler_or_keys_that_do_not_fit(
    tmp_path: Path, config: str, overrides: list[str], text: str
) -> None:
    batch = ["SOLVER.IMS_PER_BATCH", "8"] if "CrossModalityIdentitySampler" in overrides else []
    with pytest.raises(ConfigError, match=text):
        Trainer(cfg_of(tmp_path, *batch, *overrides, config=config))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["USL.ASSOCIATE.NAME", "PGMM"], r"USL.ASSOCIATE.NAME: unknown value 'PGMM'.* \(stage 2 of USL.STAGES\)"),
        (["USL.ASSOCIATE.PGM.ROUNDS", "-1"], r"USL.ASSOCIATE.PGM.ROUNDS: must be 0 or more"),
        (["USL.STAGES", "[[], [USL.MEMORY.RULE, soft]]"], r"USL.MEMORY.RULE: unknown value 'soft'"),
        (
            ["USL.STAGES", "[[], [DATASETS.NAMES, [UnlabeledFolder], USL.CLUSTER.LABELED, visible]]"],
            r"USL.CLUSTER.LABELED: is 'visible', but UnlabeledFolder has no labels \(stage 2",
        ),
        (["USL.STAGES", "[[], [DATALOADER.NUM_INSTANCE, 3]]"], r"SOLVER.IMS_PER_BATCH: must be 15"),
        (["USL.STAGES", "[[], [INPUT.VIEWS.VISIBLE, [[Filp]]]]"], r"unknown value 'Filp'.*\(stage 2 of USL.STAGES\)"),
        (
            ["USL.STAGES", "[[], [INPUT.AUGMENT, cuda]]"],
            r"INPUT\.AUGMENT: unknown value 'cuda'.*\(stage 2 of USL.STAGES\)",
        ),
        (["USL.STAGES", "[[], [MODEL.ATTENTION.STAGE2, [NonLocal@77]]]"], r"NonLocal@77.*\(stage 2 of USL.STAGES\)"),
        (["USL.STAGES", "[[], [SOLVER.OPT, Adan]]"], r"SOLVER.OPT: torch.optim has no 'Adan'.*\(stage 2"),
        (["USL.STAGES", "[[], [LOGGERS, [Wandbb]]]"], r"LOGGERS: unknown value 'Wandbb'.*\(stage 2"),
        (
            ["USL.STAGES", "[[], [MODEL.FREEZE_LAYERS, [backbonne], SOLVER.FREEZE_ITERS, 5]]"],
            r"MODEL.FREEZE_LAYERS: 'backbonne' matches no parameter.*\(stage 2",
        ),
        (["USL.STAGES", "[[], [DATASETS.TESTS, [RegDB]]]"], r"RegDB.*\(stage 2"),
        (["USL.STAGES", "[[], [DATALOADER.APART.IDENTITIES, [1, 900]]]"], r"\(stage 2"),
    ],
)
@pytest.mark.usefixtures("little_root")
def test_training_in_stages_refuses_a_wrong_key_of_a_later_one_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], text: str
) -> None:
    monkeypatch.setattr(Trainer, "__init__", lambda *_: pytest.fail("the first stage began"))
    cfg = cfg_of(tmp_path / "run", config="SYSU/pgm.yml")
    key, value = words
    cfg.defrost()
    cfg.merge_from_list([key, yaml.safe_load(value)])
    with pytest.raises(ConfigError, match=text):
        train(cfg, resume=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("little_root")
def test_training_resumed_with_other_images_is_one_error(tmp_path: Path, whole: Trainer) -> None:
    state = whole.clustering.state_dict()
    state["state"]["labels"] = state["state"]["labels"][:-1]
    with pytest.raises(DataError, match=r"clusters of .* images, not of"):
        started(cfg_of(tmp_path)).clustering.load_state_dict(state)
