"""fast-reid's optimizer with a few parameter groups instead of one per parameter."""

import inspect
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn

from vireid_plugins.compat.eager_optimizer import eager
from vireid_plugins.errors import ConfigError


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build `SOLVER.OPT` with fast-reid's learning rates and decays, fused, with equal parameters in one group.

    fast-reid's contiguous buffer is not used: torch 2 sets gradients to None, which detaches them from the buffer, so
    that weights would never change.

    Raises:
        ConfigError: torch has no optimizer of that name.
    """
    optimizer: Any = getattr(torch.optim, cfg.SOLVER.OPT, None)
    if not (inspect.isclass(optimizer) and issubclass(optimizer, torch.optim.Optimizer)):
        raise ConfigError(f"SOLVER.OPT: torch.optim has no '{cfg.SOLVER.OPT}'; use Adam, AdamW or SGD")
    arguments: dict[str, Any] = {}
    if cfg.SOLVER.OPT == "SGD":
        arguments = {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    # torch's fused SGD needs momentum buffers for all parameters of a group or for none; frozen ones get theirs later.
    late = cfg.SOLVER.OPT == "SGD" and cfg.MODEL.FREEZE_LAYERS and cfg.SOLVER.FREEZE_ITERS > 0
    if "fused" in inspect.signature(optimizer).parameters and not late:
        arguments["fused"] = True
    groups = merged_groups(
        get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            heads_lr_factor=cfg.SOLVER.HEADS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        )
    )
    built: torch.optim.Optimizer = maybe_add_gradient_clipping(cfg, eager(optimizer))(groups, **arguments)
    return built


def merged_groups(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge parameter groups with equal options, in order of first appearance."""
    merged: dict[Any, dict[str, Any]] = {}
    for group in groups:
        options = {name: value for name, value in group.items() if name != "params"}
        key = tuple(sorted(options.items()))
        merged.setdefault(key, {**options, "params": []})["params"] += group["params"]
    return list(merged.values())
