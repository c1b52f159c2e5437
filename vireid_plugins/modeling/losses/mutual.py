"""Classifiers of one modality that are taught by the other's (MPANet, CVPR 2021; SAAI, ICCV 2023; their code's form).

Each modality has a classifier of its own on the BNNeck feature, and a slowly following copy of it, its teacher. With s
the softmax of the row's own classifier and t that of the other modality's teacher on the same feature,

    kl        mean_i sum s (log s - log t)    KL from the student to the teacher (MPANet's code)
    soft_ce   mean_i sum -t log s             cross-entropy with the teacher as the target (SAAI's code)

The gradient passes through s alone.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.errors import require_name
from vireid_plugins.layers.precision import full_precision
from vireid_plugins.modeling.loss_inputs import LossInputs
from vireid_plugins.modeling.losses.base import LOSS_REGISTRY, Loss
from vireid_plugins.modeling.losses.parts import PartInputs

TEACHING_FORMS = ("kl", "soft_ce")


def mutual_teaching(student: Tensor, teacher: Tensor, form: str) -> Tensor:
    """Return the mean over rows of KL(s || t), or of the cross-entropy of s with the target t.

    Args:
        student: logits (B, N).
        teacher: logits (B, N); no gradient.
        form: one of `TEACHING_FORMS`.
    """
    log_s, log_t = F.log_softmax(student, 1), F.log_softmax(teacher.detach(), 1)
    if form == "kl":
        return (log_s.exp() * (log_s - log_t)).sum(1).mean()
    return -(log_t.exp() * log_s).sum(1).mean()


class SpecificLoss(Loss):
    """A loss on the logits of the classifiers of one modality."""

    needs: ClassVar[str] = "classifiers of each modality (PartInputs)"

    def applies(self, inputs: LossInputs) -> bool:
        """Return whether the method has such classifiers."""
        return isinstance(inputs, PartInputs) and inputs.own_logits is not None


@LOSS_REGISTRY.register()
class SpecificCE(SpecificLoss):
    """Cross-entropies of the visible and of the infrared classifier, each a mean over the rows of its modality."""

    def compute(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Return a term for each modality."""
        assert isinstance(inputs, PartInputs)
        assert inputs.own_logits is not None
        visible, infrared = inputs.by_modality(full_precision(inputs.own_logits))
        of_visible, of_infrared = inputs.by_modality(inputs.targets)
        return {
            "specific_ce_visible": F.cross_entropy(visible, of_visible),
            "specific_ce_infrared": F.cross_entropy(infrared, of_infrared),
        }


@LOSS_REGISTRY.register()
class MutualTeaching(SpecificLoss):
    """`mutual_teaching` of the classifiers of each modality by the other modality's teacher.

    Args:
        form: "kl" is KL(student || teacher), as in MPANet's code; "soft_ce" the cross-entropy with the teacher as the
            target, as in SAAI's.

    Raises:
        ConfigError: the form is unknown.
    """

    def __init__(self, *, form: str = "kl", scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        require_name("MODEL.LOSSES.MUTUAL_TEACHING.FORM", form, TEACHING_FORMS)
        self.form = form

    def compute(self, inputs: LossInputs) -> Tensor:
        """Return the loss."""
        assert isinstance(inputs, PartInputs)
        assert inputs.own_logits is not None
        assert inputs.teacher_logits is not None
        return mutual_teaching(full_precision(inputs.own_logits), full_precision(inputs.teacher_logits), self.form)
