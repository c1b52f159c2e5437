"""A backbone of a stem and four stages, of which the first ones may have a copy per stream."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from vireid_plugins.layers.frozen_statistics import frozen_statistics
from vireid_plugins.layers.streams import StreamSwitch
from vireid_plugins.modeling.backbones.tokens import Grid

# Input sizes that a compiled stage may see: full and last batches of training and of evaluation, with some margin.
SIZES_PER_STAGE = 8


class Stage(nn.Module):
    """Blocks in series, with attention modules (see `ATTENTION_REGISTRY`) after some of them.

    Args:
        blocks: called as `block(x)`, or as `block(x, modalities)` if they have a true `takes_modalities`.
        plugged: pairs (zero-based index of a block, module); the module is called as `module(x, modalities)` after it.
    """

    def __init__(self, blocks: Sequence[nn.Module], plugged: Sequence[tuple[int, nn.Module]] = ()) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.ModuleList(module for _, module in plugged)
        self.after = [block for block, _ in plugged]
        # Keep only the input and recompute the rest in the backward pass (`MODEL.CHECKPOINT_STAGES`).
        self.keeps_input_only = False

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Return the stage's output for a feature map (B, C, H, W) or a sequence (B, T, C)."""
        if not (self.keeps_input_only and self.training and torch.is_grad_enabled()):
            return self._run(x, modalities)
        from torch.utils.checkpoint import checkpoint  # not at the top: with torch 2.6 it imports sympy

        out: Tensor = checkpoint(
            self._run, x, modalities, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(self))
        )
        return out

    def _run(self, x: Tensor, modalities: Tensor | None) -> Tensor:
        for number, block in enumerate(self.blocks):
            x = block(x, modalities) if getattr(block, "takes_modalities", False) else block(x)
            for after, module in zip(self.after, self.attention, strict=True):
                if after == number:
                    x = module(x, modalities)
        return x


class MultiStreamBackbone(nn.Module):
    """Stem and four stages of any backbone that an adapter can cut.

    A meta-architecture may call `stem(images, modalities, views)` and the `stages` (a `ModuleDict` of `stage1` ..
    `stage4`, called the same way) itself; `forward` is the default composition. Between the stages of a transformer
    are sequences (B, 1 + h w, C): `to_map` and `with_map` lead to feature maps and back, and do nothing to a feature
    map.

    Args:
        stem: the stem.
        stages: the four stages, including their attention modules.
        channels: channels of the feature maps `stem`, `stage1` .. `stage4`.
        sizes: height and width of these feature maps at `INPUT.SIZE_TRAIN`.
        count: number of streams, 1, 2 or 4.
        separate_stages: number of stages that are copied per stream, besides the stem.
        grid: layout of the sequences between the stages; None: they are feature maps.
        tokens: what the last sequence gives as the feature map `stage4`; see `MODEL.STREAMS.TOKENS`.
    """

    def __init__(
        self,
        stem: Stage,
        stages: Sequence[Stage],
        channels: dict[str, int],
        sizes: dict[str, tuple[int, int]],
        *,
        count: int = 1,
        separate_stages: int = 0,
        grid: Grid | None = None,
        tokens: str = "class",
    ) -> None:
        super().__init__()
        self.stem = StreamSwitch(stem, count)
        self.stages = nn.ModuleDict(
            {
                f"stage{n}": StreamSwitch(stage, count) if count > 1 and n <= separate_stages else stage
                for n, stage in enumerate(stages, start=1)
            }
        )
        self.channels, self.sizes = channels, sizes
        self.grid, self.tokens = grid, tokens
        self._of_cameras = [module for module in self.modules() if getattr(module, "takes_cameras", False)]

    def see_cameras(self, cameras: Tensor | None) -> None:
        """Say of which cameras (B,) the images of the next calls are, for modules with a true `takes_cameras`.

        They are told it here because a recomputed stage (`MODEL.CHECKPOINT_STAGES`) runs again after the call.
        """
        for module in self._of_cameras:
            module.seen = None if cameras is None else cameras.cpu()  # type: ignore[assignment]

    def forward(
        self,
        images: Tensor,
        modalities: Tensor | None = None,
        views: Tensor | None = None,
        maps: Sequence[str] = ("stage4",),
    ) -> dict[str, Tensor]:
        """Return the requested feature maps by name; later stages are not computed.

        Args:
            images: see `outputs`.
            modalities: see `outputs`.
            views: see `outputs`.
            maps: see `outputs`.
        """
        outputs = self.outputs(images, modalities, views, maps)
        return {name: self.last_map(x) if name == "stage4" else self.to_map(x) for name, x in outputs.items()}

    def outputs(
        self,
        images: Tensor,
        modalities: Tensor | None = None,
        views: Tensor | None = None,
        maps: Sequence[str] = ("stage4",),
    ) -> dict[str, Tensor]:
        """Return what stem and stages return, by name: what the next stage takes.

        Args:
            images: (B, 3, H, W), normalized.
            modalities: (B,) on the host; needed only with several streams.
            views: (B,) on the host; 0 by default.
            maps: names among `stem`, `stage1` .. `stage4`.
        """
        found: dict[str, Tensor] = {}
        x = images
        for name, module in (("stem", self.stem), *self.stages.items()):
            x = module(x, modalities, views)
            if name in maps:
                found[name] = x
            if len(found) == len(maps):
                break
        return found

    def to_map(self, x: Tensor) -> Tensor:
        """Return what a stage returned as a feature map (B, C, H, W), of a sequence its patches."""
        return x if self.grid is None or x.ndim == 4 else self.grid.to_map(x)

    def with_map(self, x: Tensor, feature_map: Tensor) -> Tensor:
        """Return what the next stage takes: a feature map that was made of what a stage returned.

        Args:
            x: what the stage returned, (B, C, H, W) or (B, T, C).
            feature_map: (B, C, H, W), or (n B, C, H, W) whose row i belongs to row i mod B of `x`.
        """
        return feature_map if self.grid is None or x.ndim == 4 else self.grid.with_map(x, feature_map)

    def last_map(self, x: Tensor) -> Tensor:
        """Return what stage 4 returned as a feature map (B, C, H, W), of a sequence what `tokens` names."""
        return x if self.grid is None else self.grid.pooled(x, self.tokens)


def stages_of(model: nn.Module) -> list[Stage]:
    """Return every stem and stage of a model, including all copies."""
    return [module for module in model.modules() if isinstance(module, Stage)]


def compile_stages(model: nn.Module) -> None:
    """Make torch compile every stem and stage on first use; parameter names do not change.

    Every input size is compiled separately: dynamic shapes, which torch would try at the second size, fail to compile
    for MIIM, and training has a single size. All stages share the same code, so torch's recompilation limit, which is
    per code object, is raised to cover training and evaluation of all of them.
    """
    stages = stages_of(model)
    limit = SIZES_PER_STAGE * len(stages)
    config: Any = torch._dynamo.config
    # torch 2.6 has the former name.
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(getattr(config, name), limit))
    for stage in stages:
        stage.compile(dynamic=False)
