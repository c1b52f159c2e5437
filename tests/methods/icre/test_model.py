from itertools import combinations

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.errors import ConfigError

STAGES = ("stage1", "stage2", "stage3", "stage4")


def icre(*overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(small_cfg("SYSU/icre.yml", "MODEL.HEADS.NUM_CLASSES", "4", *overrides))


@pytest.mark.parametrize("stages", [(), ("stem",), *((stage,) for stage in STAGES), *combinations(STAGES, 3), STAGES])
def test_mpfr_takes_any_of_the_stages(stages: tuple[str, ...]) -> None:
    if not stages:
        with pytest.raises(ConfigError, match=r"ICRE.STAGES: needs at least one of stem, stage1, .* stage4"):
            icre("MODEL.ICRE.STAGES", "[]")
        return
    model = icre("MODEL.ICRE.STAGES", str(list(stages)))
    seen = []
    model.mpfr.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        maps = model.backbone(torch.randn(1, 3, 64, 32), torch.tensor([0]), None, ("stem", *STAGES))
        model.eval()(batch(2, 1))
    deep, shallow = seen[0]
    assert [map_.shape[1:] for map_ in shallow] == [maps[name].shape[1:] for name in stages]
    assert deep.shape[1:] == maps["stage4"].shape[1:]


def test_icre_with_mpfr_on_the_last_stage_learns_every_parameter() -> None:
    model = icre("MODEL.ICRE.STAGES", "['stage2', 'stage3', 'stage4']").train()
    sum(model(batch(4, 2)).values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_icre_with_a_stage_that_does_not_exist_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"ICRE\.STAGES: unknown value 'stage5'; available: stage1, stage2"):
        icre("MODEL.ICRE.STAGES", "['stage5']")
