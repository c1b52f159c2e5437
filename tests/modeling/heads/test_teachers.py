"""Teachers: where they start, how they move, and that a resumed run goes on with them."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastreid.utils.env import seed_all_rng
from helpers import small_cfg
from torch import nn

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.hooks.stop_on_signal import StopOnSignal
from vireid_plugins.errors import StoppedError
from vireid_plugins.modeling.heads.teachers import Teacher, TeacherUpdate, update_share


def test_teacher_starts_as_a_copy_that_no_optimizer_sees() -> None:
    student = nn.Linear(4, 3, bias=False)
    teacher = Teacher(student)
    assert torch.equal(teacher.weight, student.weight)
    assert not list(teacher.parameters())
    assert list(teacher.state_dict()) == ["weight"]
    x = torch.randn(2, 4)
    torch.testing.assert_close(teacher(x), student(x))
    with torch.no_grad():
        student.weight += 1
    assert not torch.equal(teacher.weight, student.weight)


def test_teacher_update_moves_by_the_share_of_the_epoch() -> None:
    student = nn.Linear(4, 3, bias=False)
    teacher = Teacher(student)
    start = teacher.weight.clone()
    with torch.no_grad():
        student.weight += 1
    hook = TeacherUpdate([(student, teacher)], rate=0.2)
    # Epochs are counted from 0 by the trainer, from 1 by the formula.
    hook.trainer = SimpleNamespace(epoch=98)
    hook.before_step()
    torch.testing.assert_close(teacher.weight, start + 0.2)
    hook.trainer.epoch = 139
    hook.before_step()
    share = 0.2 * 100 / 141
    torch.testing.assert_close(teacher.weight, start + 0.2 + share * 0.8)


def test_update_share_is_steady_for_99_epochs() -> None:
    assert [update_share(0.2, epoch) for epoch in (1, 50, 99)] == [0.2] * 3
    assert update_share(0.2, 100) == pytest.approx(0.2 * 100 / 101)


def watched(trainer: Trainer) -> list[dict[str, Any]]:
    """What students and teachers were when each step ran its forward pass."""
    heads: Any = trainer.model.heads
    seen: list[dict[str, Any]] = []
    run_step = trainer.run_step

    def step() -> None:
        seen.append({name: heads[name].weight.detach().clone() for name in ("visible", "visible_teacher")})
        run_step()

    trainer.run_step = step
    return seen


def trainer_of(out: Path, resume: bool = False) -> Trainer:
    cfg = small_cfg("SYSU/saai.yml", "SOLVER.MAX_EPOCH", "2", "TEST.EVAL_PERIOD", "2")
    cfg.merge_from_list(["SOLVER.METRICS_PERIOD", "1", "OUTPUT_DIR", str(out)])
    # Large enough to be seen.
    cfg.MODEL.SAAI.UPDATE_RATE = 0.3
    seed_all_rng(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer


@pytest.mark.usefixtures("little_root")
def test_teachers_of_a_resumed_run_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "whole")
    seen = watched(trainer)
    trainer.train()
    whole = trainer.model.state_dict()
    # At each step a teacher has moved towards the student that the step starts from.
    teacher = seen[0]["visible"]
    for step in seen:
        teacher = torch.lerp(teacher, step["visible"], 0.3)
        torch.testing.assert_close(step["visible_teacher"], teacher, rtol=0, atol=1e-7)
    assert not torch.equal(whole["heads.visible_teacher.weight"], whole["heads.visible.weight"])

    trainer = trainer_of(tmp_path / "broken")
    stop = next(hook for hook in trainer._hooks if isinstance(hook, StopOnSignal))
    run_step = trainer.run_step

    def stopping() -> None:
        if trainer.iter == 0:
            stop.asked = signal.SIGTERM
        run_step()

    trainer.run_step = stopping
    with pytest.raises(StoppedError):
        trainer.train()
    trainer = trainer_of(tmp_path / "broken", resume=True)
    trainer.train()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, whole[name]), name
