import json
import shutil
from pathlib import Path

import pytest
import torch
from fastreid.evaluation import inference_on_dataset
from fastreid.utils.env import seed_all_rng
from helpers import CONFIGS, batch, small_cfg

from vireid_plugins.config import CfgNode
from vireid_plugins.config.validation import choose_on_validation
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.train import evaluate
from vireid_plugins.errors import ConfigError, DataError


def cfg_of(folder: Path, *overrides: str, config: str = "SYSU/wrim.yml") -> CfgNode:
    folder.mkdir(exist_ok=True)
    return small_cfg(config, "OUTPUT_DIR", str(folder), *overrides)


def train(cfg: CfgNode, resume: bool = False) -> Trainer:
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.scores = trainer.train()
    return trainer


def test_it_trains_scores_logs_and_saves(data_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "SOLVER.MAX_EPOCH", "2")
    seed_all_rng(0)
    trainer = Trainer(cfg)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.scores = trainer.train()
    assert all(not torch.equal(p, before[name]) for name, p in trainer.model.named_parameters() if p.requires_grad)
    assert {"Rank-1", "mAP", "mINP", "metric"} <= set(trainer.scores)
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in trainer.model.parameters())
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.json").read_text().splitlines()]
    assert any("loss_cmkic" in line and "lr" in line for line in lines)
    assert list((tmp_path / "out").glob("events.out.tfevents.*"))
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert len(report["results"]) == 4
    facts = load_checkpoint(tmp_path / "out" / "model_final.pth")["vireid"]
    assert (facts["datasets"], facts["num_classes"]) == (["SYSUMM01"], 14)


@pytest.mark.parametrize("config", ["SYSU/wrim.yml", "SYSU/one_stream.yml"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(data_root: Path, tmp_path: Path, config: str) -> None:
    whole = train(cfg_of(tmp_path / "whole", "SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[1]", config=config))
    steps = whole.iters_per_epoch
    # A run of two epochs that dies in its second one, after the first was saved.
    cut = cfg_of(tmp_path / "cut", "SOLVER.MAX_EPOCH", "2", "SOLVER.STEPS", "[1]", config=config)
    seed_all_rng(0)
    dying = Trainer(cut)
    run_step = dying.run_step

    def dies() -> None:
        if dying.iter == steps + 1:
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
    again = train(cut, resume=True)
    assert again.scores["Rank-1"] == whole.scores["Rank-1"]


def test_the_best_metric_survives_a_resume(data_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "SOLVER.MAX_EPOCH", "2")
    trainer = Trainer(cfg)
    checkpoints = trainer.checkpointer.checkpointables["checkpoints"]
    checkpoints.best_metric = 77.0
    trainer.checkpointer.save("model_0000", epoch=0)
    other = Trainer(cfg)
    other.resume_or_load(resume=True)
    assert other.checkpointer.checkpointables["checkpoints"].best_metric == 77.0


def test_bf16_autocast_on_the_cpu_changes_weights(data_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16")
    seed_all_rng(0)
    trainer = Trainer(cfg)
    seen = []
    trainer.model.backbone.stem.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    before = trainer.model.heads["R_g"].weight.detach().clone()
    trainer.train()
    assert torch.bfloat16 in seen
    assert not torch.equal(trainer.model.heads["R_g"].weight, before)


def test_the_flip_test_equals_two_explicit_passes(data_root: Path, tmp_path: Path) -> None:
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


def test_too_few_identities_end_with_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sysu(tmp_path / "SYSU-MM01", SysuSize(train=2, val=1, test=2, images=2, height=24, width=12), workers=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match="3 identities with both modalities, but a batch needs 4"):
        Trainer(cfg_of(tmp_path / "out"))


def test_missing_gallery_draws_are_found_before_training(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data_root / "SYSU-MM01", tmp_path / "SYSU-MM01")
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
)
def test_what_is_wrong_is_said_before_anything_is_built(
    data_root: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Trainer(cfg_of(tmp_path / "out", *overrides))


def test_precise_bn_runs_at_the_end(data_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "TEST.PRECISE_BN.ENABLED", "True", "TEST.PRECISE_BN.NUM_ITER", "2")
    assert "metric" in train(cfg).scores


def test_frozen_layers_stay_until_their_iteration_also_after_a_resume(data_root: Path, tmp_path: Path) -> None:
    steps = 9
    overrides = ["SOLVER.IMS_PER_BATCH", "48", "MODEL.FREEZE_LAYERS", "['backbone']", "SOLVER.FREEZE_ITERS"]
    cfg = cfg_of(tmp_path / "out", *overrides, str(steps))
    trainer = Trainer(cfg)
    assert trainer.iters_per_epoch == steps
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    for name, value in trainer.model.state_dict().items():
        if "num_batches_tracked" not in name:
            assert torch.equal(value, before[name]) == (
                name.startswith("backbone") or (name.endswith(".bias") and "bottleneck" in name)
            ), name
    longer = cfg_of(tmp_path / "out", *overrides, str(steps), "SOLVER.MAX_EPOCH", "2")
    resumed = train(longer, resume=True)
    moved = [
        name
        for name, value in resumed.model.named_parameters()
        if name.startswith("backbone") and not torch.equal(value, before[name])
    ]
    assert len(moved) == sum(name.startswith("backbone") for name, _ in resumed.model.named_parameters())


def test_a_frozen_layer_that_does_not_exist_is_one_error(data_root: Path, tmp_path: Path) -> None:
    cfg = cfg_of(tmp_path / "out", "MODEL.FREEZE_LAYERS", "['backbones']", "SOLVER.FREEZE_ITERS", "3")
    with pytest.raises(ConfigError, match="'backbones' matches no parameter; names begin with backbone, heads"):
        Trainer(cfg)


def test_validation_identities_choose_the_epoch_where_training_leaves_them_out(
    data_root: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
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
    assert best["checkpoints"]["best_metric"] == pytest.approx(max(chosen))
    assert best["vireid"]["chosen_on"] == "the validation identities"
    report = json.loads((tmp_path / "out" / "evaluation_SYSUMM01Val.json").read_text())
    assert [result["protocol"] for result in report["results"]] == ["sysu/val/1shot"]
    report = json.loads((tmp_path / "out" / "evaluation_SYSUMM01.json").read_text())
    assert len(report["results"]) == 4


def test_with_the_whole_training_set_the_test_set_chooses_and_the_label_says_so(
    data_root: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    cfg = cfg_of(tmp_path / "out", config="SYSU/one_stream.yml")
    choose_on_validation(cfg)
    assert list(cfg.DATASETS.TESTS) == ["SYSUMM01"]
    train(cfg)
    assert "model_best.pth (chosen on the test set)" in log.text


@pytest.mark.parametrize("use", ["score", "resume", "start from"])
def test_a_checkpoint_of_another_split_is_refused(data_root: Path, tmp_path: Path, use: str) -> None:
    """Whether it is scored, resumed or trained on: split 2 tests people that split 1 trains on."""
    out = tmp_path / "out"
    train(cfg_of(out, config="RegDB/one_stream.yml"))
    overrides = ["DATASETS.REGDB.SPLIT", "2"]
    if use != "resume":
        overrides += ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    other = cfg_of(out, *overrides, config="RegDB/one_stream.yml")
    with pytest.raises(DataError, match="trained on split 1 of RegDB, but split 2 is asked for"):
        evaluate(other) if use == "score" else train(other, resume=use == "resume")
    same = cfg_of(out, "MODEL.WEIGHTS", str(out / "model_final.pth"), config="RegDB/one_stream.yml")
    assert "Rank-1" in evaluate(same)


@pytest.mark.parametrize("config", [name for name in CONFIGS if not name.startswith(("demo", "SYSU"))])
def test_the_other_data_sets_train_and_score(data_root: Path, tmp_path: Path, config: str) -> None:
    cfg = cfg_of(tmp_path / "out", config=config)
    trainer = train(cfg)
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [result["protocol"] for result in report["results"]] == list(cfg.TEST.PROTOCOLS)
    assert trainer.scores["metric"] > 0
