"""A backbone of stem and stages, of which the first may have a copy for each stream."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vireid_plugins.layers.frozen_statistics import frozen_statistics
from vireid_plugins.layers.streams import StreamSwitch

# Sizes that a compiled stage may meet: batches of training, of evaluation, and the last of either.
SIZES_PER_STAGE = 8


class Stage(nn.Module):
    """Blocks in series, with map modules (see `ATTENTION_REGISTRY`) after some of them.

    Args:
        blocks: called as `block(x)`.
        plugged: pairs (zero-based block, map module), called as `module(x, modalities)` after that block.
    """

    def __init__(self, blocks: Sequence[nn.Module], plugged: Sequence[tuple[int, nn.Module]] = ()) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.ModuleList(module for _, module in plugged)
        self.after = [block for block, _ in plugged]
        # Keep the input alone for the backward pass (`MODEL.CHECKPOINT_STAGES`).
        self.keeps_input_only = False

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to the stage's output."""
        if not (self.keeps_input_only and self.training and torch.is_grad_enabled()):
            return self._run(x, modalities)
        out: Tensor = checkpoint(
            self._run, x, modalities, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(self))
        )
        return out

    def _run(self, x: Tensor, modalities: Tensor | None) -> Tensor:
        for number, block in enumerate(self.blocks):
            x = block(x)
            for after, module in zip(self.after, self.attention, strict=True):
                if after == number:
                    x = module(x, modalities)
        return x


class MultiStreamBackbone(nn.Module):
    """Stem and four stages of any backbone that an adapter can cut.

    `stem(images, modalities, views)` and `stages` (a `ModuleDict` of `stage1` .. `stage4`, called alike) may be
    composed by a meta-architecture; `forward` is their default composition.

    Args:
        stem: the stem.
        stages: the four stages, attention plugged in.
        channels: channels of the maps `stem`, `stage1` .. `stage4`.
        sizes: height and width of these maps at `INPUT.SIZE_TRAIN`.
        count: number of streams, 1, 2 or 4.
        separate_stages: how many stages are copied with the stem.
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

    def forward(
        self,
        images: Tensor,
        modalities: Tensor | None = None,
        views: Tensor | None = None,
        maps: Sequence[str] = ("stage4",),
    ) -> dict[str, Tensor]:
        """Return the maps asked for, and compute no stage beyond the last of them.

        Args:
            images: (B, 3, H, W), normalised.
            modalities: (B,) on the host; not needed where nothing is separate.
            views: (B,) on the host; 0 where absent.
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


def stages_of(model: nn.Module) -> list[Stage]:
    """Return every stem and stage of a model, each copy."""
    return [module for module in model.modules() if isinstance(module, Stage)]


def compile_stages(model: nn.Module) -> None:
    """Have torch compile every stem and stage at its first use; names of parameters stay.

    Every size is compiled for itself: symbolic sizes, which torch tries when it meets a second one, fail in its
    compiler for MIIM, and training has one size. The stages share their code, so that torch's limit of compiled sizes,
    which counts by code, is raised to hold training and evaluation of all of them.
    """
    stages = stages_of(model)
    limit = SIZES_PER_STAGE * len(stages)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, limit)
    for stage in stages:
        stage.compile(dynamic=False)
