"""What a run needs of its data sets and its network, checked before anything is trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.data.datasets.bases import ImageDataset
from fastreid.modeling.meta_arch import build_model
from torch import nn

from vireid_plugins.config import check_config
from vireid_plugins.data.batch import black_batch
from vireid_plugins.data.datasets import build_dataset
from vireid_plugins.data.datasets.base import require_separate
from vireid_plugins.data.loaders import build_sampler
from vireid_plugins.data.torch_datasets import TrainImages, require_files
from vireid_plugins.engine.hooks.layer_freeze import layer_freeze
from vireid_plugins.engine.loggers import require_loggers
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.evaluation import EvaluationPlan, plan_test
from vireid_plugins.layers.evaluating import evaluating
from vireid_plugins.modeling.baseline import CrossModalityBaseline


def plans_of(cfg: CfgNode) -> dict[str, EvaluationPlan]:
    """Return the plan of every test set by name, with its trials drawn and its images found.

    Raises:
        ConfigError: no protocol scores a test set; see `EvaluationPlan`.
        DataError: a list, an image or a draw is missing or malformed, or no query has a match.
    """
    plans = {name: plan_test(cfg, name).draw() for name in cfg.DATASETS.TESTS}
    for plan in plans.values():
        require_files("test", [*plan.dataset.query, *plan.dataset.gallery])
    return plans


def require_training(
    images: TrainImages, datasets: Sequence[ImageDataset], plans: Mapping[str, EvaluationPlan]
) -> None:
    """Check the images of the training sets, and that no test identity is among theirs.

    Raises:
        DataError: an image is missing or empty, or an identity is both trained and tested.
    """
    require_files("training", images.items)
    tested: list[ImageDataset] = [plan.dataset for plan in plans.values()]
    known = {_identity(dataset) for dataset in tested}
    # A training set that is not tested has test identities too.
    require_separate(datasets, [*tested, *(dataset for dataset in datasets if _identity(dataset) not in known)])


def _identity(dataset: ImageDataset) -> tuple[Any, ...]:
    """Return what tells the test images of the data sets of a run apart."""
    return type(dataset), getattr(dataset, "folder", None), getattr(dataset, "split", None)


def require_data(configurations: Iterable[CfgNode]) -> None:
    """Check what several trainings need of their data sets before the first of them.

    Raises:
        ConfigError: a key or value is invalid, or a batch does not fit the sampler.
        DataError: see `plans_of` and `require_training`; or there are too few identities.
    """
    for cfg in configurations:
        check_config(cfg)
        plans = plans_of(cfg)
        datasets = [build_dataset(cfg, name) for name in cfg.DATASETS.NAMES]
        images = TrainImages(datasets, None, cfg.INPUT.SIZE_TRAIN, cfg.INPUT.INTERPOLATION)
        build_sampler(cfg, images.targets, images.modalities, [camera for _, _, camera in images.items])
        require_training(images, datasets, plans)


def require_run(cfg: CfgNode) -> None:
    """Check what a training builds before its first step, without memory for the weights of its network.

    Args:
        cfg: the configuration, which stays as it is.

    Raises:
        ConfigError: the network, its optimizer, a freeze of layers or a logger cannot be built, such as with a module
            after a block that the backbone does not have.
    """
    require_loggers(cfg.LOGGERS)
    network = _network(cfg)
    if network is not None:
        build_optimizer(cfg, network)
        layer_freeze(cfg, network)


def require_test_size(network: nn.Module, cfg: CfgNode) -> None:
    """Check that a network takes test images, if they have another size than those of training, by two black ones.

    Args:
        network: of this package or a plug-in's; others are not tried.
        cfg: its configuration.

    Raises:
        ConfigError: a module does not take feature maps of that size, such as one with a position embedding.
    """
    if list(cfg.INPUT.SIZE_TEST) == list(cfg.INPUT.SIZE_TRAIN) or not isinstance(network, CrossModalityBaseline):
        return
    with evaluating(network):
        network(black_batch(2, cfg))


def _network(cfg: CfgNode) -> nn.Module | None:
    """Return the network on the meta device; None if it needs values there, whose own run then says what is wrong."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.PRETRAIN = "meta", False
    try:
        with torch.device("meta"):
            network: nn.Module = build_model(cfg)
    except (NotImplementedError, RuntimeError):
        return None
    return network
