"""A method's own hooks: when they are called, what they know, and that a resumed run goes on with them."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import Count, counting_cfg, train_together
from devices import on_forked_devices
from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from fastreid.utils.env import seed_all_rng
from torch import nn

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import VireidCheckpointer, load_checkpoint
from vireid_plugins.engine.checkpoint_format import FORMAT, OF_WEIGHTS
from vireid_plugins.engine.hooks.method_hooks import HookStates, method_hooks
from vireid_plugins.engine.hooks.stop_on_signal import StopOnSignal
from vireid_plugins.errors import ConfigError, DataError, StoppedError

STEPS, EPOCHS = 5, 3
THREE_EPOCHS = ["SOLVER.MAX_EPOCH", str(EPOCHS), "SOLVER.EMA_DECAY", "0.9"]


@dataclass
class Run:
    """A run that ended, its hook and its folder."""

    trainer: Trainer
    seen: list[list[Any]]
    out: Path

    def late(self) -> list[float]:
        """The values of the loss that begins with epoch 1, of each step."""
        scalars = load_checkpoint(self.out / "last.pth")["writers"]["scalars"]
        return [value for value, _ in scalars["loss_late"]["values"]]


def at(trainer: Trainer, iteration: int, act: Any) -> None:
    """Call `act` before the step of an iteration."""
    run_step = trainer.run_step

    def acting() -> None:
        if trainer.iter == iteration:
            act()
        run_step()

    trainer.run_step = acting


def trainer_of(cfg: CfgNode, resume: bool = False) -> Trainer:
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer


def ended(trainer: Trainer, out: Path) -> Run:
    assert trainer.iters_per_epoch == STEPS
    trainer.train()
    return Run(trainer, trainer.model.count.seen, out)


def stop(trainer: Trainer) -> None:
    """Do what SIGTERM does."""
    (hook,) = (one for one in trainer._hooks if isinstance(one, StopOnSignal))
    hook.asked = signal.SIGTERM


def die() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A run that nothing happened to, and one that is stopped in epoch 1, resumed, killed in epoch 2 and resumed."""
    whole, broken = (tmp_path_factory.mktemp("runs") / name for name in ("whole", "broken"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(little_tree))
        first = ended(trainer_of(counting_cfg(whole, *THREE_EPOCHS)), whole)
        cfg = counting_cfg(broken, *THREE_EPOCHS)
        trainer = trainer_of(cfg)
        at(trainer, 7, lambda: stop(trainer))
        with pytest.raises(StoppedError):
            trainer.train()
        trainer = trainer_of(cfg, resume=True)
        at(trainer, 12, die)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        # Batches are loaded ahead by another process.
        cfg.DATALOADER.NUM_WORKERS = 1
        return first, ended(trainer_of(cfg, resume=True), broken)


def test_method_hooks_know_epoch_and_iteration_before_and_after_each_step(runs: tuple[Run, Run]) -> None:
    expected: list[list[Any]] = []
    for epoch in range(EPOCHS):
        expected.append(["before epoch", epoch, epoch * STEPS, epoch * STEPS])
        for step in range(epoch * STEPS, (epoch + 1) * STEPS):
            # After a step the optimizer has taken it.
            expected += [["before step", epoch, step, step], ["after step", epoch, step, step + 1]]
    assert runs[0].seen == expected


def test_method_hooks_of_a_resumed_run_go_on_as_if_nothing_had_happened(runs: tuple[Run, Run]) -> None:
    whole, resumed = runs
    assert resumed.trainer.start_epoch == 2
    assert resumed.seen == whole.seen


def test_loss_that_begins_with_an_epoch_has_the_same_trajectory_after_a_resume(runs: tuple[Run, Run]) -> None:
    whole, resumed = runs
    assert whole.late()[:STEPS] == [0.0] * STEPS
    assert all(value > 0 for value in whole.late()[STEPS:])
    assert len(whole.late()) == EPOCHS * STEPS
    assert resumed.late() == whole.late()
    for (name, a), b in zip(
        whole.trainer.model.state_dict().items(), resumed.trainer.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_checkpoint_of_a_run_has_the_entries_of_the_format(runs: tuple[Run, Run]) -> None:
    """Of one that averages its weights and has hooks: all but those of clusters."""
    assert set(load_checkpoint(runs[0].out / "last.pth")) == {entry.key for entry in FORMAT} - {"unscored", "clusters"}
    assert set(load_checkpoint(runs[0].out / "model_final.pth")) == OF_WEIGHTS


@pytest.mark.usefixtures("little_root")
def test_method_hooks_in_several_processes_are_called_in_each(tmp_path: Path) -> None:
    on_forked_devices(train_together, 2, folder=str(tmp_path), resume=False)
    seen = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert seen[0] == seen[1]
    assert seen[0][0] == ["before epoch", 0, 0, 0]
    assert seen[0][-1][0] == "after step"
    saved = load_checkpoint(tmp_path / "out" / "last.pth")
    assert saved["hooks"] == {"Count": {"seen": seen[0]}}


def test_method_hooks_of_a_network_that_has_none_are_none() -> None:
    assert method_hooks(nn.Linear(2, 2), CfgNode()) == []


def test_hook_states_with_two_of_a_name_are_one_error() -> None:
    with pytest.raises(ConfigError, match="two of its hooks are called 'Count'; give one a different `name`"):
        HookStates([Count(), Count()])
    other = Count()
    other.name = "other"
    assert list(HookStates([Count(), other]).hooks) == ["Count", "other"]


def test_checkpointer_with_states_of_other_hooks_is_one_error(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    VireidCheckpointer(model, str(tmp_path), hooks=HookStates([Count()])).save("model")
    other = Count()
    other.name = "other"
    with pytest.raises(
        DataError, match=r"model\.pth': it contains the states of the hooks Count, but the method has oth"
    ):
        VireidCheckpointer(model, str(tmp_path), hooks=HookStates([other])).load(str(tmp_path / "model.pth"))


class Stateful(HookBase):
    """A hook with this state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state


@pytest.mark.parametrize("state", [{"p": Path("x")}, {"a": [1, {"b": {Path("x")}}]}, [lambda: 0], {"o": Stateful(0)}])
def test_hook_states_that_a_checkpoint_could_not_load_are_one_error(state: Any) -> None:
    with pytest.raises(ConfigError, match=r"hook 'Stateful': its state_dict has a (PosixPath|function|Stateful)"):
        HookStates([Stateful(state)]).state_dict()


def test_hook_states_of_tensors_arrays_and_plain_values_are_taken() -> None:
    state = {"a": [torch.ones(1), np.ones(2), np.float32(1)], 3: (None, True, "b", 1.5, {1, 2}), "c": {"d": b"e"}}
    assert HookStates([Stateful(state)]).state_dict() == {"Stateful": state}


def test_hook_states_of_a_hook_that_does_not_load_its_state_is_one_error() -> None:
    class Forgetful(HookBase):
        def state_dict(self) -> dict[str, int]:
            return {}

    with pytest.raises(ConfigError, match="hook 'Forgetful': has a state_dict and no load_state_dict"):
        HookStates([Forgetful()])


@pytest.mark.parametrize("returned", [None, [3], HookBase()])
def test_method_hooks_that_are_no_list_of_hooks_is_one_error(returned: Any) -> None:
    model = nn.Linear(1, 1)
    model.hooks = lambda cfg: returned
    with pytest.raises(ConfigError, match=r"Linear\.hooks: must return a list of fast-reid hooks"):
        method_hooks(model, CfgNode())
