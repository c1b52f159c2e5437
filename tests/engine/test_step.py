"""Parts of a batch, means of losses, the average of the weights, maps that are computed again."""

import json
from argparse import Namespace
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from devices import network, state_after_a_step, whole_batch
from double import quick
from fastreid.utils.events import EventStorage
from helpers import batch, small_cfg, views_of
from torch import nn

from vireid_plugins.config import get_cfg
from vireid_plugins.data.batch import check_blocks, split_identities
from vireid_plugins.engine import Trainer, load_model
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.hooks.ema import WeightAverage
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step import StepResult, TrainingStep
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.modeling.backbones.multi_stream import stages_of

CASE: tuple[str, list[str]] = ("SYSU/wrim.yml", [])
NAMES = {"img_paths": [f"{number}.jpg" for number in range(9)]}


@pytest.mark.parametrize("views", [(1, 1), (2, 1)])
def test_split_identities_holds_all_rows_of_an_identity_together(views: tuple[int, int]) -> None:
    whole = batch(6, 2, views=views)
    parts = split_identities(whole, 3)  # type: ignore[arg-type]
    for part in parts:
        check_blocks(part)
        assert len(set(part["targets"].tolist())) == 2
        assert len(part["targets"]) == len(whole["targets"]) // 3
    names = [name for part in parts for name in part["img_paths"]]
    assert sorted(names) == sorted(whole["img_paths"])
    for part in parts:
        for row, name in enumerate(part["img_paths"]):
            assert torch.equal(part["images"][row], whole["images"][int(name.split(".")[0])])


def test_split_identities_that_do_not_divide_is_one_error() -> None:
    with pytest.raises(ValueError, match="6 identities do not divide into 4 parts"):
        split_identities(batch(6, 2), 4)  # type: ignore[arg-type]


@quick()
def test_training_step_in_parts_gives_the_mean_of_their_gradients() -> None:
    """The same as two processes without GATHER, which test_launch compares."""
    model = network(CASE, frozen=True)
    whole = whole_batch(CASE)
    losses = TrainingStep(model, torch.optim.SGD(model.parameters(), 0.0), parts=2)(iter([whole])).losses
    halves = split_identities(whole, 2)  # type: ignore[arg-type]
    expected = state_after_a_step(network(CASE, frozen=True), halves)  # type: ignore[arg-type]
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[key], rtol=1e-9, atol=1e-12)
    reference = network(CASE, frozen=True)
    values = [reference(half) for half in halves]
    for name, value in losses.items():
        torch.testing.assert_close(value, (values[0][name] + values[1][name]).detach() / 2)


class Regression(nn.Module):
    """The mean square of a normalized projection, times the batch's factor."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"loss": batch["factor"] * self.layers(batch["images"]).square().mean()}


def test_training_step_that_is_skipped_changes_nothing() -> None:
    model = Regression()
    optimizer = torch.optim.Adam(model.parameters())
    batches = iter([{"images": torch.randn(4, 3), "factor": factor} for factor in (1.0, float("nan"), 1.0)])
    take_step = TrainingStep(model, optimizer, skip_nonfinite=True)
    assert not take_step(batches).skipped
    before = deepcopy((model.state_dict(), optimizer.state_dict()))
    assert take_step(batches).skipped
    torch.testing.assert_close((model.state_dict(), optimizer.state_dict()), before, rtol=0, atol=0)
    assert not take_step(batches).skipped
    assert not torch.equal(model.state_dict()["layers.0.weight"], before[0]["layers.0.weight"])


@pytest.mark.parametrize("kind", ["norm", "value"])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_training_step_with_scaled_losses_clips_gradients_as_they_are(name: str, kind: str) -> None:
    """Fused optimizers divide by the scale themselves, after gradients are clipped."""
    cfg = get_cfg()
    clip = ["SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind]
    cfg.merge_from_list(
        ["SOLVER.OPT", name, "SOLVER.BASE_LR", "0.1", *clip, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.01"]
    )
    torch.manual_seed(0)
    given = {"factor": 4.0, "images": torch.randn(8, 3)}
    models = [Regression().double()]
    models.append(deepcopy(models[0]))
    given["images"] = given["images"].double()
    for model, scaler in zip(models, (None, torch.amp.GradScaler("cpu", init_scale=1024.0)), strict=True):
        step = TrainingStep(model, build_optimizer(cfg, model), scaler=scaler)
        for _ in range(3):
            step(iter([given]))
    for plain, scaled in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(plain, scaled, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("little_root")
def test_trainer_with_parts_that_do_not_divide_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SOLVER\.ACCUMULATE: 4 identities"):
        Trainer(small_cfg("SYSU/one_stream.yml", "SOLVER.ACCUMULATE", "3", "OUTPUT_DIR", str(tmp_path)))


def add(metrics: StepMetrics, storage: EventStorage, values: list[float]) -> None:
    for number, value in enumerate(values):
        storage.iter = metrics.trainer.iter = number
        losses = {"loss_a": torch.tensor(value), "loss_b": torch.tensor(1.0)}
        metrics.record(StepResult(losses, NAMES, waited=0.1 * number, skipped=False))


def test_step_metrics_are_means_over_the_period() -> None:
    metrics = StepMetrics(3)
    metrics.trainer = Namespace(iter=0)
    with EventStorage(0) as storage:
        add(metrics, storage, [5.0, 1.0, 2.0, 6.0, 10.0, 20.0])
        assert storage.history("loss_a").values() == [(5.0, 0.0), (3.0, 3.0)]
        assert storage.history("data_time").values() == [(0.0, 0.0), (pytest.approx(0.3), 3.0)]
        metrics.after_epoch()
        assert storage.history("loss_a").latest() == 15.0
        assert storage.history("total_loss").latest() == 16.0
        metrics.after_epoch()
        assert len(storage.history("loss_a").values()) == 3


def test_step_metrics_of_a_resumed_run_go_on_under_the_names_of_today() -> None:
    metrics = StepMetrics(2)
    metrics.trainer = Namespace(iter=1)
    sums = {"loss_ce": torch.tensor(3.0), "loss_aux_triplet": torch.tensor(1.0)}
    metrics.load_state_dict({"first": False, "skipped": 0, "sums": sums, "steps": 1, "waited": 0.0})
    metrics.before_train()
    with EventStorage(1) as storage:
        step = {"loss_label_smooth_ce": torch.tensor(5.0), "loss_aux_hard_triplet": torch.tensor(2.0)}
        metrics.record(StepResult(step, NAMES, 0.0, skipped=False))
        assert storage.history("loss_label_smooth_ce").latest() == 4.0
        assert storage.history("loss_aux_hard_triplet").latest() == 1.5
        assert storage.history("total_loss").latest() == 5.5


def test_step_metrics_with_a_nan_in_between_do_not_lose_it() -> None:
    metrics = StepMetrics(4)
    metrics.trainer = Namespace(iter=0)
    with (
        EventStorage(0) as storage,
        pytest.raises(
            FloatingPointError, match=r"iteration 2: loss_a is nan, on a batch of 0\.jpg, .*7\.jpg and 1 more"
        ),
    ):
        add(metrics, storage, [1.0, 1.0, float("nan"), 1.0, 1.0])


def test_weight_average_follows_the_formula_and_is_saved() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = WeightAverage(model, 0.9)
    weight: Any = model[0].weight
    expected = None
    for value in (1.0, 2.0, -3.0):
        with torch.no_grad():
            weight.fill_(value)
            model[1].running_mean.fill_(value)  # type: ignore[union-attr, operator]
        average.after_step()
        expected = value if expected is None else 0.9 * expected + 0.1 * value
        assert float(average.model[0].weight.detach()) == pytest.approx(expected)  # type: ignore[index]
        assert float(average.model[1].running_mean) == pytest.approx(expected)  # type: ignore[index]
    again = WeightAverage(nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)), 0.9)
    again.load_state_dict(average.state_dict())
    again.trained = model
    for one in (again, average):
        one.after_step()
    assert torch.equal(again.model[0].weight, average.model[0].weight)  # type: ignore[index]


@pytest.mark.usefixtures("little_root")
def test_trainer_with_an_average_scores_saves_resumes_and_loads_it(tmp_path: Path) -> None:
    overrides = ["SOLVER.EMA_DECAY", "0.5", "OUTPUT_DIR", str(tmp_path), "TEST.SAVE_FEATURES", "True"]
    overrides += ["TEST.PROTOCOLS", "['sysu/agw/all/1shot']"]
    trainer = Trainer(small_cfg("SYSU/one_stream.yml", *overrides))
    trainer.train()
    saved = load_checkpoint(tmp_path / "model_final.pth")
    assert saved["average"]["steps"] == trainer.iters_per_epoch
    key = next(iter(saved["model"]))
    assert not torch.equal(saved["average"]["model"][key], saved["model"][key])
    none = ["SOLVER.EMA_DECAY", "0.0"]
    for more in ([], none):
        loaded = load_model(small_cfg("SYSU/one_stream.yml", *overrides, *more))
        assert torch.equal(loaded.state_dict()[key], saved["average"]["model"][key])
    last = load_model(small_cfg("SYSU/one_stream.yml", *overrides, "MODEL.WEIGHTS_AVERAGED", "False"))
    assert torch.equal(last.state_dict()[key], saved["model"][key])
    trained = json.loads((tmp_path / "evaluation.json").read_text())
    Trainer.test(small_cfg("SYSU/one_stream.yml", *overrides), loaded)
    again = json.loads((tmp_path / "evaluation.json").read_text())
    assert again["results"] == trained["results"]
    # Whoever hands over a model alone has not said what file it is of.
    assert again["provenance"]["file"] is None
    more = Trainer(small_cfg("SYSU/one_stream.yml", *overrides, "SOLVER.MAX_EPOCH", "2"))
    more.resume_or_load(resume=True)
    assert more.average is not None
    assert int(more.average.average.n_averaged) == trainer.iters_per_epoch
    assert torch.equal(more.average.model.state_dict()[key], saved["average"]["model"][key])
    # A finished run is only scored again, as it was.
    (tmp_path / "evaluation.json").unlink()
    again = Trainer(small_cfg("SYSU/one_stream.yml", *overrides))
    again.resume_or_load(resume=True)
    again.train()
    repeated = json.loads((tmp_path / "evaluation.json").read_text())
    assert repeated["provenance"].pop("date") >= trained["provenance"].pop("date")
    assert repeated == trained
    # A new run from its weights starts from the average, with or without one of its own.
    keys = ["MODEL.WEIGHTS", str(tmp_path / "model_final.pth"), "OUTPUT_DIR", str(tmp_path / "new"), *none]
    new = Trainer(small_cfg("SYSU/one_stream.yml", *overrides, *keys))
    new.resume_or_load(resume=False)
    assert torch.equal(new.model.state_dict()[key], saved["average"]["model"][key])
    with pytest.raises(DataError, match=r"cannot be resumed: SOLVER\.EMA_DECAY is 0\.0, was 0\.5"):
        Trainer(small_cfg("SYSU/one_stream.yml", *overrides, *none)).resume_or_load(resume=True)


@pytest.mark.parametrize(
    "config", ["SYSU/wrim.yml", pytest.param("SYSU/idkl.yml", marks=pytest.mark.slow), "SYSU/mscm.yml"]
)
def test_stages_that_are_checkpointed_give_the_same_step(config: str) -> None:
    """Gradients and running statistics, with fewer maps kept for the backward pass."""
    found, kept = [], []
    whole = batch(3, 2, views=views_of(small_cfg(config)))
    for stages in ("False", "True"):
        case = (config, ["MODEL.CHECKPOINT_STAGES", stages])
        model = network(case, frozen=False)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=sizes: (s.append(x.nbytes), x)[1], lambda x: x):  # type: ignore[misc]
            losses = model(whole)
        sum(losses.values()).backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
        found.append({**gradients, **dict(model.named_buffers())})
        kept.append(sum(sizes))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value)
    assert kept[1] < kept[0] / 2


RECOMPUTING = ("agw", "caj", "deen", "idkl", "icre", "mpanet", "pmt", "rle", "saai")


@pytest.mark.parametrize(
    "config",
    [
        "SYSU/wrim.yml",
        "SYSU/mscm.yml",
        *(
            pytest.param(f"SYSU/{name}.yml", marks=pytest.mark.slow)
            for name in ("agw", "caj", "deen", "idkl", "icre", "mpanet", "pmt", "rle", "saai")
        ),
    ],
)
def test_activations_that_are_recomputed_give_the_same_step(config: str) -> None:
    """Losses, gradients and running statistics, to the bit."""
    whole = batch(3, 2, views=views_of(small_cfg(config)))
    found = []
    for recompute in ("False", "True"):
        model = network((config, ["MODEL.RECOMPUTE_ACTIVATIONS", recompute]), frozen=False)
        torch.manual_seed(0)
        losses = model(whole)
        sum(losses.values()).backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        found.append({**losses, **gradients, **dict(model.named_buffers())})
    assert list(found[0]) == list(found[1])
    for key, value in found[0].items():
        assert torch.equal(found[1][key], value), key


def test_activations_are_not_recomputed_in_compiled_stages() -> None:
    keys = ["MODEL.RECOMPUTE_ACTIVATIONS", "True", "MODEL.COMPILE", "True"]
    with pytest.raises(ConfigError, match=r"not with MODEL\.COMPILE"):
        network(("SYSU/agw.yml", keys), frozen=False)


@pytest.mark.parametrize("stages", [[1], pytest.param([0, 2, 3, 4], marks=pytest.mark.slow)], ids=["first", "others"])
def test_stages_that_are_compiled_give_the_same_step(stages: list[int]) -> None:
    """Stages as torch traces them; the compiler itself is the user's. Tracing those with attention takes longest."""
    plain, compiled = network(CASE, frozen=False), network(CASE, frozen=False)
    found = stages_of(compiled)
    assert len(found) == 5
    for number in stages:
        found[number].compile(backend="aot_eager")
    names = list(compiled.state_dict())
    first, second = (state_after_a_step(model, [whole_batch(CASE)]) for model in (plain, compiled))
    assert list(compiled.state_dict()) == names
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=1e-6, atol=1e-9)
