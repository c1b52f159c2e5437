"""Check a configuration before anything is built, so that a typo costs seconds and not an epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.heads.build import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY

from vireid_plugins.config.keys import flat
from vireid_plugins.config.values import require_sane
from vireid_plugins.errors import ConfigError, require_name


def registered(registry: Any) -> list[str]:
    """Return the names in a fast-reid `Registry`, which has no public way to list them."""
    return sorted(registry._obj_map)


def require_device(key: str, device: str) -> None:
    """Raise a `ConfigError` unless torch can use the device."""
    try:
        parsed = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"{key}: invalid device '{device}'; use cpu, cuda or cuda:N") from None
    if parsed.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise ConfigError(f"{key}: torch finds no CUDA device for '{device}'; use cpu")
    if (parsed.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"{key}: torch finds {torch.cuda.device_count()} CUDA devices, but not '{device}'")


def check_config(cfg: CfgNode) -> None:
    """Check names and numbers that fast-reid would only reject after the model and the data are built.

    Raises:
        ConfigError: names the key, its value and what would be right.
    """
    _check_datasets(cfg)
    require_name("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, registered(META_ARCH_REGISTRY))
    require_name("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, registered(BACKBONE_REGISTRY))
    require_name("MODEL.STREAMS.BACKBONE", cfg.MODEL.STREAMS.BACKBONE, registered(BACKBONE_REGISTRY))
    require_name("MODEL.HEADS.NAME", cfg.MODEL.HEADS.NAME, registered(REID_HEADS_REGISTRY))
    require_name("SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, ("float16", "bfloat16"))
    if cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "float16" and cfg.MODEL.DEVICE == "cpu":
        raise ConfigError(
            "SOLVER.AMP.DTYPE: float16 needs a CUDA device; on a CPU use bfloat16, or SOLVER.AMP.ENABLED False"
        )
    require_name("SOLVER.SCHED", cfg.SOLVER.SCHED, ("MultiStepLR", "CosineAnnealingLR", "FlooredCosineLR"))
    require_name("TEST.RERANK.FORM", cfg.TEST.RERANK.FORM, ("ordinary", "query_only"))
    _check_metric(cfg)
    require_name("DATASETS.SYSU.TRAIN", cfg.DATASETS.SYSU.TRAIN, ("train", "trainval"))
    require_device("MODEL.DEVICE", cfg.MODEL.DEVICE)
    _refuse_unused(cfg)
    _check_expected(cfg)
    _check_numbers(cfg)


def is_labeled(dataset: Any) -> bool:
    """Return whether a data set, or its class, knows the identities of its images; fast-reid's own do."""
    return bool(getattr(dataset, "labeled", True))


def _check_datasets(cfg: CfgNode) -> None:
    for key in ("NAMES", "TESTS"):
        for name in cfg.DATASETS[key]:
            require_name(f"DATASETS.{key}", name, registered(DATASET_REGISTRY))
    trained, tested = (
        {name: is_labeled(DATASET_REGISTRY.get(name)) for name in names}
        for names in (cfg.DATASETS.NAMES, cfg.DATASETS.TESTS)
    )
    for name, labeled in tested.items():
        if not labeled:
            raise ConfigError(f"DATASETS.TESTS: {name} has no identities, so it cannot be scored; leave it out")
    # Images of one's own may have no labels at all.
    if not tested and (not trained or any(trained.values())):
        raise ConfigError("DATASETS.TESTS: needs one or more data sets")


# The smallest value of each key that has one, and the largest.
_LEAST: dict[int, tuple[str, ...]] = {
    -1: ("SEED",),
    0: (
        *("SOLVER.BASE_LR", "SOLVER.ETA_MIN_LR", "SOLVER.HEADS_LR_FACTOR", "SOLVER.BIAS_LR_FACTOR", "SOLVER.MOMENTUM"),
        *("SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_BIAS", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.GAMMA"),
        *("INPUT.FIRST_EPOCHS",),
        *("SOLVER.WARMUP_ITERS", "SOLVER.WARMUP_EPOCHS", "SOLVER.WARMUP_FACTOR", "SOLVER.FREEZE_ITERS"),
        *("SOLVER.CHECKPOINT_KEEP", "SOLVER.SKIP_NONFINITE", "DATALOADER.NUM_WORKERS", "DATALOADER.TIMEOUT"),
        *("MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.EMBEDDING_DIM", "TEST.RERANK.LAMBDA"),
    ),
    1: (
        *("SOLVER.MAX_EPOCH", "SOLVER.CHECKPOINT_PERIOD", "SOLVER.ACCUMULATE", "SOLVER.METRICS_PERIOD"),
        *("DATALOADER.NUM_INSTANCE", "TEST.EVAL_PERIOD", "TEST.IMS_PER_BATCH"),
        *("TEST.AQE.QE_TIME", "TEST.AQE.QE_K", "TEST.RERANK.K1", "TEST.RERANK.K2"),
    ),
    2: ("SOLVER.IMS_PER_BATCH",),
}
_MOST: dict[int, tuple[str, ...]] = {
    1: ("SOLVER.MOMENTUM", "SOLVER.GAMMA", "SOLVER.WARMUP_FACTOR", "TEST.RERANK.LAMBDA"),
    # numpy takes no larger seed.
    2**32 - 1: ("SEED",),
}


def _check_numbers(cfg: CfgNode) -> None:
    values = flat(cfg)
    for key, value in values.items():
        require_sane(value, key)
    for bounds, words, sign in ((_LEAST, "at least", 1), (_MOST, "at most", -1)):
        for bound, keys in bounds.items():
            for key in keys:
                if sign * values[key] < sign * bound:
                    raise ConfigError(f"{key}: must be {words} {bound}, got {values[key]}")
    if not 0 <= cfg.SOLVER.EMA_DECAY < 1:
        raise ConfigError(f"SOLVER.EMA_DECAY: must be at least 0 (no average) and below 1, got {cfg.SOLVER.EMA_DECAY}")
    if cfg.SOLVER.SCHED != "MultiStepLR" and not cfg.SOLVER.BASE_LR:
        raise ConfigError(f"SOLVER.BASE_LR: must be above 0 with SOLVER.SCHED {cfg.SOLVER.SCHED}, got 0")
    require_name("SOLVER.WARMUP_METHOD", cfg.SOLVER.WARMUP_METHOD, ("constant", "linear", "exp"))
    _check_list("SOLVER.STEPS", values["SOLVER.STEPS"], "numbers of at least 0", lambda step: step >= 0)
    _check_list("MODEL.PIXEL_MEAN", values["MODEL.PIXEL_MEAN"], "3 numbers", lambda _: True, 3)
    _check_list("MODEL.PIXEL_STD", values["MODEL.PIXEL_STD"], "3 numbers above 0", lambda deviation: deviation > 0, 3)
    for name in ("SIZE_TRAIN", "SIZE_TEST"):
        size = cfg.INPUT[name]
        if not isinstance(size, Sequence) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
            raise ConfigError(
                f"INPUT.{name}: must be two whole numbers above 0, height and width, such as [288, 144]; got {size}"
            )


def _check_list(
    key: str, numbers: Sequence[Any], text: str, right: Callable[[float], bool], count: int | None = None
) -> None:
    """Raise a `ConfigError` unless a list holds numbers that are right, and `count` of them unless it is None."""
    wrong = not all(type(one) in (int, float) and right(one) for one in numbers)
    if wrong or (count is not None and len(numbers) != count):
        raise ConfigError(f"{key}: must be a list of {text}; got {list(numbers)}")


def _check_metric(cfg: CfgNode) -> None:
    metric = cfg.TEST.METRIC
    require_name("TEST.METRIC", metric, ("cosine", "euclidean", "inner_product"))
    if cfg.TEST.AQE.ENABLED and metric != "cosine":
        raise ConfigError(f"TEST.AQE.ENABLED: query expansion needs the cosine, but TEST.METRIC is {metric}")
    if cfg.TEST.AIM.ENABLED and metric != "cosine":
        raise ConfigError(f"TEST.AIM.ENABLED: affinity inference needs the cosine, but TEST.METRIC is {metric}")
    if cfg.TEST.AIM.ENABLED and cfg.TEST.RERANK.ENABLED:
        raise ConfigError(
            "TEST.AIM.ENABLED: affinity inference and re-ranking (TEST.RERANK.ENABLED) exclude each other"
        )
    if cfg.TEST.AIM.ENABLED and not cfg.TEST.AIM.NEIGHBORS:
        raise ConfigError("TEST.AIM.NEIGHBORS: needs a row [protocol or pattern, k1, k2], such as ['*', 8, 2]; got []")
    for row in cfg.TEST.AIM.NEIGHBORS:
        require_neighbors(row)
    if cfg.TEST.RERANK.ENABLED and metric == "inner_product":
        raise ConfigError(
            "TEST.RERANK.ENABLED: re-ranking needs a distance, but TEST.METRIC is inner_product; set it to cosine or "
            "euclidean"
        )


def require_neighbors(row: Any) -> None:
    """Raise a `ConfigError` unless a row of `TEST.AIM.NEIGHBORS` is well-formed."""
    numbers = row[1:] if isinstance(row, list | tuple) and len(row) == 3 and isinstance(row[0], str) else ()
    if not numbers or not all(type(k) is int and k >= 1 for k in numbers):
        raise ConfigError(
            f"TEST.AIM.NEIGHBORS: invalid row {row!r}; a row is [protocol or pattern, k1, k2] with numbers of at least "
            "1, such as ['sysu/*', 20, 6]"
        )


def _refuse_unused(cfg: CfgNode) -> None:
    """Reject switches of fast-reid that this trainer would silently ignore."""
    for name, node in cfg.INPUT.items():
        if isinstance(node, CfgNode) and node.get("ENABLED"):
            raise ConfigError(f"INPUT.{name}.ENABLED: has no effect here; list the transforms in INPUT.VIEWS instead")
    if cfg.TEST.ROC.ENABLED:
        raise ConfigError("TEST.ROC.ENABLED: not supported; no VI-ReID paper reports ROC curves")
    if cfg.DATASETS.COMBINEALL:
        raise ConfigError("DATASETS.COMBINEALL: training on test identities is not supported; set it to False")


def _check_expected(cfg: CfgNode) -> None:
    """Raise a `ConfigError` unless every row is well-formed and about a test set."""
    for row in cfg.TEST.EXPECTED_RESULTS:
        if not isinstance(row, Sequence) or len(row) != 4 or not all(isinstance(x, int | float) for x in row[2:]):
            raise ConfigError(
                f"TEST.EXPECTED_RESULTS: invalid row {row!r}; a row is [data set, score, value, tolerance], such as "
                '["SYSUMM01", "mAP", 75.4, 1.0]'
            )
        if row[0] not in cfg.DATASETS.TESTS:
            raise ConfigError(
                f"TEST.EXPECTED_RESULTS: '{row[0]}' is not tested; DATASETS.TESTS has {', '.join(cfg.DATASETS.TESTS)}"
            )
