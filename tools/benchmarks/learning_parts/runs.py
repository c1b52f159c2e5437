"""Every training run of the comparison, as a configuration."""

from collections.abc import Iterable
from dataclasses import dataclass

from learning_parts.starts import STARTS
from learning_parts.trees import TREES
from learning_parts.variants import GROUPS, VARIANTS
from vireid_plugins.config import CfgNode, config_path, get_cfg

# For every run: 16 identities per batch, from which CMKIC takes its negatives, a last stride of 1 (a key of ResNet
# only), the same sampler so that all see the same number of images, and no mirror images at test. Losses are logged as
# the median of the last 20 means, here of 40 steps.
SHARED = (
    "SOLVER.IMS_PER_BATCH", "64", "DATALOADER.NUM_INSTANCE", "2", "MODEL.BACKBONE.LAST_STRIDE", "1",
    "DATALOADER.SAMPLER_TRAIN", "CrossModalityIdentitySampler", "TEST.FLIP.ENABLED", "False",
    "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "TEST.COMPARE_RANDOM", "False",
    "SOLVER.METRICS_PERIOD", "2",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        start: a key of STARTS.
        tree: a key of TREES.
        variant: a key of VARIANTS.
        seed: seed of weights, sampler and augmentation.
        epochs: number of epochs.
    """

    start: str
    tree: str
    variant: str
    seed: int
    epochs: int

    def key(self) -> tuple[str, str, str, int, int]:
        """Return what identifies the run."""
        return self.start, self.tree, self.variant, self.seed, self.epochs

    def forced(self) -> list[str]:
        """Return the overrides that network and image size force."""
        variant = VARIANTS[self.variant]
        return [] if variant.free else list(STARTS[self.start].forced.get(variant.config, ()))

    def overrides(self) -> list[str]:
        """Return the overrides of the configuration, except the path of the weights."""
        start, tree, variant = STARTS[self.start], TREES[self.tree], VARIANTS[self.variant]
        budget = ["SOLVER.MAX_EPOCH", str(self.epochs), "SOLVER.STEPS", str([max(1, 2 * self.epochs // 3)])]
        last = ["TEST.EVAL_PERIOD", str(self.epochs), "SOLVER.CHECKPOINT_PERIOD", str(self.epochs)]
        chosen = ["TEST.PROTOCOLS", str([tree.protocol]), "SEED", str(self.seed)]
        weights = ["MODEL.BACKBONE.PRETRAIN", str(start.weights)]
        return [
            *SHARED, *start.overrides, *weights, *self.forced(), *tree.overrides, *budget, *last, *chosen,
            *variant.overrides,
        ]  # fmt: skip

    def cfg(self) -> CfgNode:
        """Return the run's configuration, except the path of the weights."""
        cfg = get_cfg()
        cfg.merge_from_file(config_path(f"demo/{VARIANTS[self.variant].config}.yml"))
        cfg.merge_from_list(self.overrides())
        return cfg


def runs(
    starts: Iterable[str], trees: Iterable[str], variants: Iterable[str], seeds: int, epochs: int = 0
) -> list[Run]:
    """Return all runs, the methods first, seed by seed, so that a run cut short leaves complete seeds.

    Args:
        starts: keys of STARTS.
        trees: keys of TREES.
        variants: keys of VARIANTS.
        seeds: number of seeds.
        epochs: number of epochs; 0 is that of each tree.
    """
    names = set(variants)
    return [
        Run(start, tree, variant.name, seed, epochs or TREES[tree].epochs[start])
        for tree in trees
        for start in starts
        if start in TREES[tree].epochs
        for group in GROUPS
        for seed in range(seeds)
        for variant in group
        if variant.name in names and variant in STARTS[start].variants
    ]
