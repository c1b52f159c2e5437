"""fast-reid's optimizer with a few parameter groups instead of one per parameter."""

import inspect
import re
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
    groups = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        heads_lr_factor=cfg.SOLVER.HEADS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    groups = merged_groups(_with_factors(groups, model, _factors(cfg)))
    built: torch.optim.Optimizer = maybe_add_gradient_clipping(cfg, eager(optimizer))(groups, **arguments)
    return built


def _factors(cfg: CfgNode) -> list[tuple[re.Pattern[str], float]]:
    """Return `SOLVER.LR_FACTORS`.

    Raises:
        ConfigError: a row is not a regular expression and a factor of at least 0.
    """
    rows: list[tuple[re.Pattern[str], float]] = []
    for row in cfg.SOLVER.LR_FACTORS:
        try:
            pattern, factor = row
            rows.append((re.compile(pattern), float(factor)))
        except (TypeError, ValueError, re.error):
            rows.append((re.compile(""), -1.0))
        if not 0 <= rows[-1][1] < float("inf"):
            raise ConfigError(
                f"SOLVER.LR_FACTORS: invalid row {row!r}; a row is a regular expression of whole parameter names and a "
                r"factor of at least 0, such as ['backbone\..*', 0.5]"
            )
    return rows


def _with_factors(
    groups: list[dict[str, Any]], model: nn.Module, factors: list[tuple[re.Pattern[str], float]]
) -> list[dict[str, Any]]:
    """Multiply the rates of the parameters whose names match, in groups of one parameter each.

    Raises:
        ConfigError: a pattern matches no parameter.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for pattern, _ in factors:
        if not any(pattern.fullmatch(name) for name in names.values()):
            raise ConfigError(
                f"SOLVER.LR_FACTORS: no parameter's whole name matches '{pattern.pattern}'; names are like "
                f"{next(iter(names.values()))}"
            )
    for group in groups:
        name = names[id(group["params"][0])]
        factor = next((factor for pattern, factor in factors if pattern.fullmatch(name)), None)
        if factor is not None:
            group["lr"] *= factor
    return groups


def merged_groups(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge parameter groups with equal options, in order of first appearance."""
    merged: dict[Any, dict[str, Any]] = {}
    for group in groups:
        options = {name: value for name, value in group.items() if name != "params"}
        key = tuple(sorted(options.items()))
        merged.setdefault(key, {**options, "params": []})["params"] += group["params"]
    return list(merged.values())
