"""Train as `tools/train_net.py` does, then measure whether the parts of the network had an effect.

A module can explain a result only if it did something: if it had gradients, and outputs that differ between positions
or between images. This is measured on the trained network with one training batch and written to
`<OUTPUT_DIR>/activity.json`. The network is also scored with affinity inference, into `<OUTPUT_DIR>/affinity`. Of a
method that learns from clusters, nothing is measured here.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid_plugins.errors import UserError
from vireid_plugins.methods.deen.modules import DEE, MFA
from vireid_plugins.methods.icre.modules import MPFR, SDCE
from vireid_plugins.methods.idkl.modules import Purifier
from vireid_plugins.methods.mpanet.modules import PatternMaps
from vireid_plugins.methods.mscm.modules import ALB
from vireid_plugins.methods.saai.modules import SAFL
from vireid_plugins.methods.wrim.modules import MIIM
from vireid_plugins.modeling.attention import MAM, NonLocal
from vireid_plugins.modeling.part_baseline import MODALITIES

# Modules that add to their input; what they add is measured relative to it.
ADDING = (NonLocal, MFA, SDCE)
# Modules that return part masks.
MASKS = (PatternMaps, SAFL)
# Modules of the methods; the gradient of each is measured.
MODULES = (*ADDING, *MASKS, ALB, DEE, MAM, MIIM, MPFR, Purifier)

# Folder of the scores with affinity inference, in that of the run.
AFFINITY = "affinity"


def activity(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what the parts of a network do to one training batch.

    Args:
        model: a meta-architecture; its gradients and running statistics are changed.
        batch: a batch of the training loader.

    Returns:
        `modules`: by quantity, one number per module: the standard deviation of MIIM's gate over positions, that of the
        purifier's masks and of MAM's gate over channels and over images, that of part masks over positions, parts and
        images, the norm of what a block adds relative to the norm of its input, how far a teacher is from its
        classifier as |difference| / |weight|, and gradients as |gradient| / |weight|.
        `losses`: by name, the weighted value of the loss and its share, between 0 and 1, of the sum of all losses'
        gradient norms in the weights of the last stage.
        `idle`: names of trainable parameters without a gradient.
    """
    model.train()
    found: dict[str, list[float]] = {}
    with _watched(model, found):
        losses: dict[str, Tensor] = model(batch)
    shares = _shares(losses, _last_stage(model))
    model.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    for module in model.modules():
        if isinstance(module, MIIM):
            weights = module.qkv.weight.detach().chunk(3)
            assert module.qkv.weight.grad is not None
            for name, weight, grad in zip("qk", weights, module.qkv.weight.grad.chunk(3), strict=False):
                _add(found, f"MIIM: gradient of W_{name}", grad.norm() / weight.norm())
        if isinstance(module, Purifier):
            for name, mask in (("m_e", module.mask_e), ("m_r", module.mask_r)):
                _add(found, f"Purifier: gradient of {name}", _relative_gradient(mask))
        elif isinstance(module, MODULES):
            _add(found, f"{type(module).__name__}: gradient", _relative_gradient(module))
    for name in MODALITIES:
        if f"{name}_teacher" in getattr(model, "heads", {}):
            student, teacher = (model.get_submodule(f"heads.{one}").weight for one in (name, f"{name}_teacher"))
            assert isinstance(student, Tensor)
            assert isinstance(teacher, Tensor)
            _add(found, "teacher: distance from its classifier", (teacher - student).norm() / student.norm())
    idle = [
        name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not bool(p.grad.any()))
    ]
    values = {name: [float(value.detach()), share] for (name, value), share in zip(losses.items(), shares, strict=True)}
    return {"modules": found, "losses": values, "idle": idle}


@contextmanager
def _watched(model: nn.Module, found: dict[str, list[float]]) -> Iterator[None]:
    """Measure the outputs of forward passes inside a `with` block."""

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        x = inputs[0].detach()
        name = type(module).__name__
        with torch.no_grad():
            if isinstance(module, MIIM):
                _add(found, "MIIM: spread of the gate over positions", module.gate(x).std((2, 3)).mean())
            elif isinstance(module, ADDING):
                _add(found, f"{name}: added / input", (output.detach() - x).norm() / x.norm())

    def masked(name: str) -> Any:
        def look_at_mask(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            mask = output.detach().mean((2, 3))
            _add(found, f"{name} over channels", mask.std(1).mean())
            _add(found, f"{name} over images", mask.std(0).mean())

        return look_at_mask

    def look_at_parts(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        name, masks = type(module).__name__, output.detach()
        _add(found, f"{name}: mean of the masks", masks.mean())
        for over, dimension in (("positions", 2), ("parts", 1), ("images", 0)):
            _add(found, f"{name}: spread of the masks over {over}", masks.std(dimension).mean())

    hooks = []
    for module in model.modules():
        if isinstance(module, (MIIM, *ADDING)):
            hooks.append(module.register_forward_hook(look))
        if isinstance(module, Purifier):
            hooks.append(module.mask_e.register_forward_hook(masked("Purifier: spread of m_e")))
            hooks.append(module.mask_r.register_forward_hook(masked("Purifier: spread of m_r")))
        if isinstance(module, MAM):
            hooks.append(module.gate.register_forward_hook(masked("MAM: spread of the gate")))
        if isinstance(module, MASKS):
            hooks.append(module.register_forward_hook(look_at_parts))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_stage(model: Any) -> list[Tensor]:
    """Return the weights that all losses on embeddings reach: the last stage, and IDKL's specific branch."""
    modules = [list(model.backbone.stages.values())[-1]]
    if isinstance(getattr(model, "specific", None), nn.Module):
        modules.append(model.specific)
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def _shares(losses: dict[str, Tensor], weights: list[Tensor]) -> list[float]:
    """Return each loss's share of the gradient norms."""
    norms = []
    for value in losses.values():
        grads = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        norms.append(sum((float(grad.square().sum()) for grad in grads if grad is not None), 0.0) ** 0.5)
    total = sum(norms) or 1.0
    return [norm / total for norm in norms]


def _relative_gradient(module: nn.Module) -> Tensor:
    """Return |gradient| / |weight| over all weights of a module."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    squares = [torch.zeros(()) if p.grad is None else p.grad.square().sum() for p in parameters]
    return (torch.stack(squares).sum() / torch.stack([p.detach().square().sum() for p in parameters]).sum()).sqrt()


def _add(found: dict[str, list[float]], name: str, value: Tensor) -> None:
    found.setdefault(name, []).append(float(value.detach()))


def main() -> None:
    """Parse the command line of `train_net.py`, train and measure."""
    import vireid_plugins.engine as engine  # first: it makes fastreid importable
    from fastreid.engine import default_argument_parser  # isort: skip
    from vireid_plugins.config import load_config
    from vireid_plugins.data import build_train_loader

    run = engine.Run.from_arguments(default_argument_parser().parse_args())
    cfg = load_config(run.config_file, run.overrides)
    engine.launch(engine.main, run, cfg)
    trained = time.process_time()
    model = engine.load_model(cfg)
    report: dict[str, Any] = {"cpu_seconds": trained, "modules": {}, "losses": {}, "idle": []}
    # Clusters are those of an epoch, and not in the weights.
    if not hasattr(model, "begin_epoch"):
        scored = cfg.clone()
        scored.defrost()
        scored.OUTPUT_DIR, scored.TEST.AIM.ENABLED = str(Path(cfg.OUTPUT_DIR) / AFFINITY), True
        Path(scored.OUTPUT_DIR).mkdir()
        engine.Trainer.test(scored, model)
        report |= activity(model, next(iter(build_train_loader(cfg))))
    (Path(cfg.OUTPUT_DIR) / "activity.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
