"""Train as `tools/train_net.py` does, then measure whether the parts of the network had an effect.

A module can explain a result only if it did something: if it had gradients, and outputs that differ between positions
or between images. This is measured on the trained network with one training batch and written to
`<OUTPUT_DIR>/activity.json`.
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
from vireid_plugins.methods.mscm.modules import ALB
from vireid_plugins.methods.wrim.modules import MIIM
from vireid_plugins.modeling.attention import NonLocal

# Modules that add to their input; what they add is measured relative to it.
ADDING = (NonLocal, MFA, SDCE)
# Modules of the methods; the gradient of each is measured.
MODULES = (*ADDING, ALB, DEE, MIIM, MPFR, Purifier)


def activity(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what the parts of a network do to one training batch.

    Args:
        model: a meta-architecture; its gradients and running statistics are changed.
        batch: a batch of the training loader.

    Returns:
        `modules`: by quantity, one number per module: the standard deviation of MIIM's gate over positions, that of the
        purifier's masks over channels and over images, the norm of what a block adds relative to the norm of its input,
        and gradients as |gradient| / |weight|.
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
            _add(found, f"Purifier: spread of {name} over channels", mask.std(1).mean())
            _add(found, f"Purifier: spread of {name} over images", mask.std(0).mean())

        return look_at_mask

    hooks = []
    for module in model.modules():
        if isinstance(module, (MIIM, *ADDING)):
            hooks.append(module.register_forward_hook(look))
        if isinstance(module, Purifier):
            hooks.append(module.mask_e.register_forward_hook(masked("m_e")))
            hooks.append(module.mask_r.register_forward_hook(masked("m_r")))
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
    measured = activity(engine.load_model(cfg), next(iter(build_train_loader(cfg))))
    report = {"cpu_seconds": trained, **measured}
    (Path(cfg.OUTPUT_DIR) / "activity.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
