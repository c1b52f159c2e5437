"""Classifiers of one modality, and teachers that follow them slowly (MPANet, CVPR 2021; SAAI, ICCV 2023).

A teacher moves once per step, before the step's first forward pass:

    W_t <- (1 - u) W_t + u W,    u = rate * min(100 / (e + 1), 1),    e the epoch, counted from 1

so at step k it has seen the weights before steps 0 to k, and after training it lacks those of the last step. The public
code does this in the forward pass; a hook is exact also with gradient accumulation, recomputed stages and PreciseBN,
which pass the network several times.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.engine.train_loop import HookBase
from torch import Tensor, nn

# Epochs after which teachers move more and more slowly.
STEADY_EPOCHS = 100


class Teacher(nn.Module):
    """A classifier that no gradient reaches; its weight is a buffer, saved and never optimized.

    Args:
        student: the classifier that it starts as a copy of.
    """

    weight: Tensor

    def __init__(self, student: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", student.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, N) of features (B, D)."""
        return F.linear(x, self.weight)


class TeacherUpdate(HookBase):
    """Moves teachers towards their students before each step.

    A step that is skipped because a loss is not finite (`SOLVER.SKIP_NONFINITE`) leaves the students as they are; their
    teachers have moved towards them, as in the public code.

    Args:
        pairs: students and their teachers.
        rate: share of the student's weight in the first epochs.
    """

    trainer: Any

    def __init__(self, pairs: Sequence[tuple[nn.Linear, Teacher]], rate: float) -> None:
        self.pairs, self.rate = list(pairs), rate

    def before_step(self) -> None:
        """Move the teachers by the share of this epoch."""
        self.move_teachers(update_share(self.rate, self.trainer.epoch + 1))

    @torch.no_grad()
    def move_teachers(self, share: float) -> None:
        """Move the teachers by a share of the way to their students."""
        for student, teacher in self.pairs:
            teacher.weight.lerp_(student.weight, share)


def update_share(rate: float, epoch: int) -> float:
    """Return u of an epoch, counted from 1."""
    return rate * min(STEADY_EPOCHS / (epoch + 1), 1.0)
