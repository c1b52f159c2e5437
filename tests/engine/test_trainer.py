"""The trainer: a run from the first step to the last score, what it refuses, and what a resumed one goes on with."""

import json
import shutil
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.evaluation import inference_on_dataset
from fastreid.utils.env import seed_all_rng
from helpers import CONFIGS, SMALL, UNLABELED, batch, small_cfg

from vireid_plugins.config import CfgNode, load_config
from vireid_plugins.config.model_selection import choose_on_validation
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.train import evaluate
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation.query_scores import read_query_scores
from vireid_plugins.io.regular import sha256_of

ONE_PROTOCOL = ["TEST.PROTOCOLS", "['sysu/agw/all/1shot']"]
TWO_EPOCHS = ["SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[1]"]
# Folders that nobody has labeled are not scored: tests/engine/test_clusters.py.
OTHERS = [name for name in CONFIGS if not name.startswith(("demo", "SYSU", *(f"own/{one}" for one in UNLABELED)))]
# Of the other data sets the methods whose networks differ there, and the smallest of the mixes.
FAST = ["LLCM/wrim.yml", "RegDB/deen.yml", "RegDB/idkl.yml", "own/agw.yml", "mix/mobilenet_arc_icg.yml"]


def cfg_of(folder: Path, *overrides: str, config: str = "SYSU/wrim.yml") -> CfgNode:
    folder.mkdir(exist_ok=True)
    return small_cfg(config, "OUTPUT_DIR", str(folder), *overrides)


def train(cfg: CfgNode, resume: bool = False) -> Trainer:
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.scores = trainer.train()
    return trainer


@dataclass
class Run:
    """A run of two epochs: its trainer, its initial state and its folder."""

    trainer: Trainer
    before: dict[str, torch.Tensor]
    out: Path


@pytest.fixture(scope="module")
def whole(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A WRIM-Net that nothing happened to; its rate falls between the epochs."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(little_tree))
        seed_all_rng(0)
        trainer = Trainer(cfg_of(out, *TWO_EPOCHS))
        before = deepcopy(trainer.model.state_dict())
        trainer.scores = trainer.train()
    return Run(trainer, before, out)


def test_trainer_trains_scores_logs_and_saves(whole: Run) -> None:
    trainer = whole.trainer
    trained = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert all(not torch.equal(p, whole.before[name]) for name, p in trained.items())
    assert {"Rank-1", "mAP", "mINP", "metric"} <= set(trainer.scores)
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in trainer.model.parameters())
    lines = [json.loads(line) for line in (whole.out / "metrics.json").read_text().splitlines()]
    assert any("loss_cmkic" in line and "lr" in line for line in lines)
    assert list(whole.out.glob("events.out.tfevents.*"))
    report = json.loads((whole.out / "evaluation.json").read_text())
    assert len(report["results"]) == 4
    source = report["provenance"]
    method = trainer.cfg.MODEL.META_ARCHITECTURE
    assert (source["file"], source["epoch"], source["method"]) == ("model_final.pth", 2, method)
    assert source["sha256"] == sha256_of(whole.out / "model_final.pth")
    assert source["seed"] == trainer.cfg.SEED
    queries = read_query_scores(whole.out / "evaluation_queries.npz")
    for result in report["results"]:
        ap = queries[result["protocol"]].ap
        np.testing.assert_allclose(100 * np.nanmean(ap, axis=1), result["per_trial"]["mAP"], rtol=1e-5)
    facts = load_checkpoint(whole.out / "model_final.pth")["vireid"]
    assert (facts["datasets"], facts["num_classes"]) == (["SYSUMM01"], 5)


def assert_resumed_as_whole(whole: Trainer, cut: CfgNode) -> None:
    """A run of two epochs that dies in its second one, after the first was saved, ends where `whole` does."""
    seed_all_rng(0)
    dying = Trainer(cut)
    run_step = dying.run_step

    def dies() -> None:
        if dying.iter == whole.iters_per_epoch + 1:
            raise KeyboardInterrupt
        run_step()

    dying.run_step = dies
    with pytest.raises(KeyboardInterrupt):
        dying.train()
    resumed = train(cut, resume=True)
    assert resumed.start_epoch == 1
    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert resumed.scores["metric"] == whole.scores["metric"]
    written = ("evaluation.json", "evaluation_queries.npz")
    files = {name: (Path(cut.OUTPUT_DIR) / name).read_bytes() for name in written}
    again = train(cut, resume=True)
    assert again.scores["Rank-1"] == whole.scores["Rank-1"]
    # The evaluation of a finished run is the same, and so keeps its date.
    assert files == {name: (Path(cut.OUTPUT_DIR) / name).read_bytes() for name in written}


@pytest.mark.usefixtures("little_root")
def test_trainer_that_died_in_an_epoch_ends_as_an_uninterrupted_one(whole: Run, tmp_path: Path) -> None:
    assert_resumed_as_whole(whole.trainer, cfg_of(tmp_path / "cut", *TWO_EPOCHS))


@pytest.mark.usefixtures("little_root")
def test_trainer_in_phases_that_died_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """PMT, which dies in its second phase: losses, views and the schedule of its groups follow the epoch."""
    phases = [
        *("MODEL.LOSSES.EPOCHS", "[['ModalityTriplet', 1, 1], ['HardTriplet', 2, 0], ['MSEL', 2, 0], ['DCL', 2, 0]]"),
        *("INPUT.FIRST_EPOCHS", "1"),
    ]
    whole, cut = (cfg_of(tmp_path / name, *TWO_EPOCHS, *phases, config="SYSU/pmt.yml") for name in ("whole", "cut"))
    assert_resumed_as_whole(train(whole), cut)


@pytest.mark.slow
@pytest.mark.usefixtures("data_root")
def test_trainer_of_one_stream_that_died_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, cut = (cfg_of(tmp_path / name, *TWO_EPOCHS, config="SYSU/one_stream.yml") for name in ("whole", "cut"))
    assert_resumed_as_whole(train(whole), cut)


@pytest.mark.usefixtures("little_root")
def test_trainer_makes_its_output_folder_when_it_trains_and_refuses_one_of_another_run(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "first"
    cfg = load_config("SYSU/one_stream.yml", [*SMALL, *ONE_PROTOCOL, "OUTPUT_DIR", str(out)])
    trainer = Trainer(cfg)
    assert not out.parent.exists()
    assert "Rank-1" in trainer.train()
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    assert {"model_final.pth", "metrics.json", "evaluation.json"} <= set(files)
    with pytest.raises(ConfigError, match=r"already contains a run \(last\.pth, model_best\.pth, model_final\.pth\)"):
        Trainer(cfg).train()
    assert {file.name: file.read_bytes() for file in out.iterdir()} == files
    longer = load_config("SYSU/one_stream.yml", [*SMALL, *ONE_PROTOCOL, "OUTPUT_DIR", str(out), *TWO_EPOCHS])
    assert train(longer, resume=True).start_epoch == 1


@pytest.mark.usefixtures("little_root")
def test_trainer_resumed_keeps_the_best_metric(tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "SOLVER.MAX_EPOCH", "2")
    trainer = Trainer(cfg)
    checkpoints = trainer.checkpointer.checkpointables["checkpoints"]
    checkpoints.best_metric = 77.0
    trainer.checkpointer.save("model_0000", epoch=0)
    other = Trainer(cfg)
    other.resume_or_load(resume=True)
    assert other.checkpointer.checkpointables["checkpoints"].best_metric == 77.0


@pytest.mark.usefixtures("little_root")
def test_trainer_with_bf16_on_the_cpu_changes_weights(tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16", *ONE_PROTOCOL)
    seed_all_rng(0)
    trainer = Trainer(cfg)
    seen = []
    trainer.model.backbone.stem.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    before = trainer.model.heads["R_g"].weight.detach().clone()
    trainer.train()
    assert torch.bfloat16 in seen
    assert not torch.equal(trainer.model.heads["R_g"].weight, before)


def test_inference_with_flip_test_equals_two_explicit_passes(tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "MODEL.HEADS.NUM_CLASSES", "6")
    model = Trainer.build_model(cfg).eval()

    class Keep:
        def reset(self) -> None:
            self.outputs: list[torch.Tensor] = []

        def process(self, inputs: dict, outputs: torch.Tensor) -> None:
            self.outputs.append(outputs)

        def evaluate(self) -> dict:
            return {}

    class Loader(list):
        dataset = range(4)

    whole = batch(2, 1) | {"images": batch(2, 1)["images"].float()}
    keep = Keep()
    inference_on_dataset(model, Loader([{**whole, "images": whole["images"].clone()}]), keep, flip_test=True)
    with torch.no_grad():
        expected = (model(whole) + model(whole | {"images": whole["images"].flip(3)})) / 2
    torch.testing.assert_close(keep.outputs[0], expected)


def test_trainer_with_too_few_identities_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sysu(tmp_path / "SYSU-MM01", SysuSize(train=2, val=1, test=2, images=2, height=24, width=12), workers=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match="3 identities with both modalities, but a batch needs 4"):
        Trainer(cfg_of(tmp_path / "out"))


def test_trainer_without_gallery_draws_is_one_error_before_training(
    little_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(little_root / "SYSU-MM01", tmp_path / "SYSU-MM01")
    (tmp_path / "SYSU-MM01" / "exp" / "rand_perm_cam.mat").unlink()
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match=r"rand_perm_cam\.mat' are missing"):
        Trainer(cfg_of(tmp_path / "out"))
    Trainer(cfg_of(tmp_path / "out", "TEST.PROTOCOLS", "['sysu/agw/all/1shot']"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["TEST.PROTOCOLS", "['sysu/all']"], "sysu/official/all/1shot"),
        (["TEST.EVAL_PERIOD", "0"], "TEST.EVAL_PERIOD: must be at least 1"),
        (["MODEL.META_ARCHITECTURE", "WRIM"], "WRIMNet"),
    ],
    ids=["protocol", "period", "method"],
)
@pytest.mark.usefixtures("little_root")
def test_trainer_with_wrong_keys_is_one_error_before_anything_is_built(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Trainer(cfg_of(tmp_path / "out", *overrides))


@pytest.mark.usefixtures("little_root")
def test_trainer_with_precise_bn_runs_it_at_the_end(tmp_path: Path) -> None:
    overrides = ["TEST.PRECISE_BN.ENABLED", "True", "TEST.PRECISE_BN.NUM_ITER", "2", *ONE_PROTOCOL]
    assert "metric" in train(cfg_of(tmp_path / "out", *overrides)).scores


@pytest.mark.usefixtures("little_root")
def test_trainer_with_frozen_layers_keeps_them_until_their_iteration_also_after_a_resume(tmp_path: Path) -> None:
    steps = 5
    overrides = ["MODEL.FREEZE_LAYERS", "['backbone']", "SOLVER.FREEZE_ITERS", str(steps), *ONE_PROTOCOL]
    cfg = cfg_of(tmp_path / "out", *overrides)
    trainer = Trainer(cfg)
    assert trainer.iters_per_epoch == steps
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    for name, value in trainer.model.state_dict().items():
        if "num_batches_tracked" not in name:
            assert torch.equal(value, before[name]) == (
                name.startswith("backbone") or (name.endswith(".bias") and "bottleneck" in name)
            ), name
    longer = cfg_of(tmp_path / "out", *overrides, "SOLVER.MAX_EPOCH", "2")
    resumed = train(longer, resume=True)
    moved = [
        name
        for name, value in resumed.model.named_parameters()
        if name.startswith("backbone") and not torch.equal(value, before[name])
    ]
    assert len(moved) == sum(name.startswith("backbone") for name, _ in resumed.model.named_parameters())


@pytest.mark.usefixtures("little_root")
def test_trainer_with_a_frozen_layer_that_does_not_exist_is_one_error(tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "MODEL.FREEZE_LAYERS", "['backbones']", "SOLVER.FREEZE_ITERS", "3")
    with pytest.raises(ConfigError, match="'backbones' matches no parameter; names begin with backbone, heads"):
        Trainer(cfg)


def test_trainer_with_validation_identities_chooses_the_epoch_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    # Four people to validate on, so that not every ranking is right.
    size = SysuSize(train=4, val=4, test=5, images=2, height=72, width=32)
    write_sysu(tmp_path / "SYSU-MM01", size, seed=3, workers=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    cfg = cfg_of(
        tmp_path / "out", "DATASETS.SYSU.TRAIN", "train", "SOLVER.MAX_EPOCH", "2", config="SYSU/one_stream.yml"
    )
    choose_on_validation(cfg)
    trainer = train(cfg)
    assert list(trainer.scores) == ["SYSUMM01Val", "SYSUMM01"]
    assert "model_best.pth (chosen on the validation identities)" in log.text
    best = load_checkpoint(tmp_path / "out" / "model_best.pth")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.json").read_text().splitlines()]
    chosen = [line["SYSUMM01Val/metric"] for line in lines if "SYSUMM01Val/metric" in line]
    # Both epochs' evaluations are written, the last one's too.
    assert len(chosen) == 2
    assert best["metric"] == pytest.approx(max(chosen))
    assert best["vireid"]["chosen_on"] == "the validation identities"
    report = json.loads((tmp_path / "out" / "evaluation_SYSUMM01Val.json").read_text())
    assert [result["protocol"] for result in report["results"]] == ["sysu/val/1shot"]
    report = json.loads((tmp_path / "out" / "evaluation_SYSUMM01.json").read_text())
    assert len(report["results"]) == 4


@pytest.mark.usefixtures("little_root")
def test_trainer_on_the_whole_training_set_chooses_the_epoch_on_the_test_set_and_says_so(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    cfg = cfg_of(tmp_path / "out", *ONE_PROTOCOL, config="SYSU/one_stream.yml")
    choose_on_validation(cfg)
    assert list(cfg.DATASETS.TESTS) == ["SYSUMM01"]
    train(cfg)
    assert "model_best.pth (chosen on the test set)" in log.text


@pytest.fixture(scope="module")
def first_split(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run on split 1 of RegDB."""
    out = tmp_path_factory.mktemp("first_split")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(little_tree))
        train(cfg_of(out, config="RegDB/one_stream.yml"))
    return out


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize("use", ["score", "resume", "start from"])
def test_trainer_refuses_a_checkpoint_of_another_split(first_split: Path, tmp_path: Path, use: str) -> None:
    """Whether it is scored, resumed or trained on: split 2 tests people that split 1 trains on."""
    shutil.copytree(first_split, out := tmp_path / "out")
    overrides = ["DATASETS.REGDB.SPLIT", "2"]
    if use != "resume":
        overrides += ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    other = cfg_of(out, *overrides, config="RegDB/one_stream.yml")
    with pytest.raises(DataError, match="trained on split 1 of RegDB, but split 2 is configured"):
        evaluate(other) if use == "score" else train(other, resume=use == "resume")


@pytest.mark.usefixtures("little_root")
def test_trainer_scores_a_checkpoint_of_the_same_split(first_split: Path, tmp_path: Path) -> None:
    weights = str(first_split / "model_final.pth")
    assert "Rank-1" in evaluate(cfg_of(tmp_path / "out", "MODEL.WEIGHTS", weights, config="RegDB/one_stream.yml"))
    source = json.loads((tmp_path / "out" / "evaluation.json").read_text())["provenance"]
    assert (source["file"], source["epoch"], source["split"]) == (weights, 1, 1)
    assert source["sha256"] == sha256_of(weights)


@pytest.mark.usefixtures("little_root")
def test_trainer_warns_of_an_unknown_split_unless_other_data_sets_were_trained_on(
    first_split: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    said = "has no record of a split of RegDB"
    for datasets, warned in ((["RegDB"], True), (["SYSUMM01"], False), (None, True)):
        checkpoint = torch.load(first_split / "model_final.pth", weights_only=True)
        facts = checkpoint["vireid"]
        facts |= {"splits": {}, "datasets": datasets}
        if datasets is None:
            del facts["datasets"]
        torch.save(checkpoint, tmp_path / "model.pth")
        log.clear()
        cfg = cfg_of(tmp_path / "out", "MODEL.WEIGHTS", str(tmp_path / "model.pth"), config="RegDB/one_stream.yml")
        evaluate(cfg)
        assert (said in log.text) == warned


def assert_trained_and_scored(out: Path, config: str) -> None:
    cfg = cfg_of(out, config=config)
    trainer = train(cfg)
    report = json.loads((out / "evaluation.json").read_text())
    assert [result["protocol"] for result in report["results"]] == list(cfg.TEST.PROTOCOLS)
    assert trainer.scores["metric"] > 0


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize("config", FAST)
def test_trainer_on_other_data_sets_trains_and_scores(tmp_path: Path, config: str) -> None:
    assert_trained_and_scored(tmp_path / "out", config)


@pytest.mark.slow
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("config", OTHERS)
def test_trainer_of_every_config_trains_and_scores(tmp_path: Path, config: str) -> None:
    assert_trained_and_scored(tmp_path / "out", config)


@pytest.mark.usefixtures("little_root")
def test_trainer_that_has_trained_is_only_scored_again_and_scores_before_it_trains(tmp_path: Path) -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(tmp_path / "out"), "DATALOADER.NUM_WORKERS", "0")
    trainer = Trainer(cfg)
    trainer.test(cfg, trainer.model, trainer.plans)
    assert (tmp_path / "out" / "evaluation.json").is_file()
    scores = trainer.train()
    written = (tmp_path / "out" / "model_final.pth").read_bytes()
    assert trainer.train() == scores
    assert (tmp_path / "out" / "model_final.pth").read_bytes() == written
    other = small_cfg("SYSU/one_stream.yml", "TEST.PROTOCOLS", "['sysu/agw/all/1shot']")
    with pytest.raises(
        ConfigError, match=r"TEST\.PROTOCOLS: asks for sysu/agw/all/1shot, but the plan of SYSUMM01 has"
    ):
        trainer.test(other, trainer.model, trainer.plans)
