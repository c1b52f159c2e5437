"""What happens before each epoch of a method without labels: features, clusters, association, memories.

Shapes: `N` training images, `D` embedding.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from torch import nn

from vireid_plugins.config.check import is_labeled
from vireid_plugins.config.keys import arguments
from vireid_plugins.config.stages import earlier_stage
from vireid_plugins.data import TrainLoader
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.loaders import loader_of_training_images
from vireid_plugins.data.samplers import ApartSampler
from vireid_plugins.engine.training_features import flip_mean, training_features
from vireid_plugins.errors import ConfigError, DataError, UserError
from vireid_plugins.layers.evaluating import evaluating
from vireid_plugins.modeling.cluster_contrast import CrossOptions, MemoryOptions
from vireid_plugins.unsupervised.association import build_association
from vireid_plugins.unsupervised.clusters import across, cluster, cluster_means, quality
from vireid_plugins.unsupervised.options import ClusterOptions
from vireid_plugins.unsupervised.state import EpochState

logger = logging.getLogger("fastreid." + __name__)
# Of the scores of clusters those that compare them with identities.
AGREEMENT = ("purity", "nmi", "ari")
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def clustering_of(
    cfg: CfgNode, model: nn.Module, loader: TrainLoader, save: Callable[[int], str]
) -> "Clustering | None":
    """Return the hook of a method that learns from clusters; None for the others.

    Raises:
        ConfigError: the sampler and the method do not go together, or a key of `USL` is wrong.
    """
    method, sampler = cfg.MODEL.META_ARCHITECTURE, cfg.DATALOADER.SAMPLER_TRAIN
    learns, apart = hasattr(model, "begin_epoch"), isinstance(loader.sampler, ApartSampler)
    if learns and not apart:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: {method} learns from clusters, which ApartSampler draws; got {sampler}"
        )
    if apart and not learns:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: {sampler} draws clusters, but {method} learns from identities; use "
            "CrossModalityIdentitySampler, or a method without labels such as ADCA"
        )
    return Clustering(cfg, model, loader, save) if learns else None


def check_clusters(cfg: CfgNode) -> None:
    """Check `USL`, before a network is built.

    Raises:
        ConfigError: a value is wrong.
    """
    _options(cfg)
    MemoryOptions(**arguments(cfg.USL.MEMORY))
    CrossOptions(**arguments(cfg.USL.CROSS))
    build_association(cfg)


def _options(cfg: CfgNode) -> ClusterOptions:
    node = arguments(cfg.USL.CLUSTER)
    options = ClusterOptions(**{**node, "eps": tuple(node["eps"])})
    unlabeled = [name for name in cfg.DATASETS.NAMES if not is_labeled(DATASET_REGISTRY.get(name))]
    if options.labeled and unlabeled:
        raise ConfigError(f"USL.CLUSTER.LABELED: is '{options.labeled}', but {', '.join(unlabeled)} has no labels")
    return options


class Clustering(HookBase):
    """Clusters the training images of each modality before every epoch, and hands the clusters to loader and model.

    Features are extracted by all processes. The main one clusters and sends the result to the others. The state of the
    epoch is in the checkpoint: within an epoch it is restored, since the weights have moved since; before an epoch it
    is made anew.

    Args:
        cfg: the configuration.
        model: has `begin_epoch(state)`, `epoch_state` and `commit_memories()`.
        loader: the training loader.
        save: saves the run after so many steps, and returns a clause that says where.
    """

    trainer: Any

    def __init__(self, cfg: CfgNode, model: nn.Module, loader: TrainLoader, save: Callable[[int], str]) -> None:
        self.cfg, self.loader, self.save = cfg, loader, save
        self.model: Any = model
        self.options = _options(cfg)
        if share := cfg.DATASETS.WRONG_LABELS.SHARE:
            self._say_what_is_wrong(share)
        self.associate = build_association(cfg)
        self.scores: dict[str, float] = {}
        self.resumed: EpochState | None = None
        modalities = np.asarray(loader.images.modalities)
        self.rows = {name: np.flatnonzero(modalities == modality) for modality, name in MODALITIES.items()}

    @property
    def reads_identities(self) -> bool:
        """Whether the training depends on identities of images."""
        return bool(self.options.labeled)

    def before_train(self) -> None:
        """Go on with the clusters of a run that was resumed within an epoch.

        Raises:
            DataError: its checkpoint has none.
        """
        if not self.trainer.iter % self.trainer.iters_per_epoch:
            return
        if self.resumed is None:
            raise DataError("the checkpoint is within an epoch and has no clusters; resume an earlier one")
        self._begin(self.resumed)

    def before_epoch(self) -> None:
        """Extract features, cluster, associate, and start the epoch's memories.

        Raises:
            DataError: there are too few clusters, or none; the run is saved before.
        """
        features = training_features(self.cfg, self.model, self.loader.images)
        state: EpochState | None = None
        error: UserError | None = None
        if features is not None:
            try:
                state = self._clustered(features)
            except UserError as problem:
                error = problem
        # All processes go on alike, also if the main one failed.
        state, self.scores, error = comm.all_gather((state, self.scores, error))[0]
        if error is None:
            assert state is not None
            try:
                self._begin(state)
            except DataError as problem:
                error = problem
        if error is not None:
            raise type(error)(f"epoch {self.trainer.epoch + 1}: {error}{self._saved()}")

    def rehearse(self) -> None:
        """Begin an epoch with made-up clusters, of as many images as a batch draws, for a few steps that are timed."""
        loader = loader_of_training_images(self.cfg, self.loader.images)
        with evaluating(self.model):
            width = flip_mean(self.model, next(iter(loader))).shape[1]
        labels = torch.empty(len(self.loader.images), dtype=torch.int64)
        memories: dict[str, torch.Tensor] = {}
        sampler = self.loader.sampler
        assert isinstance(sampler, ApartSampler)
        for (name, rows), least in zip(self.rows.items(), sampler.P, strict=True):
            clusters = max(least, len(rows) // sampler.K)
            labels[rows] = torch.arange(len(rows)) % clusters
            memories[name] = F.normalize(torch.randn(clusters, width, generator=torch.Generator().manual_seed(0)))
        self._begin(EpochState(0, labels, memories, {}))

    def _saved(self) -> str:
        """Save a run that cannot go on, unless it has not begun, and return a clause that says so."""
        done = self.trainer.iter
        saved = f"the run is {self.save(done)}" if done else ""
        if not done and (stage := earlier_stage(Path(self.cfg.MODEL.WEIGHTS).parent)):
            saved = f"stage {stage} is saved"
        return f"; {saved}, from which --resume continues with other keys" if saved else ""

    def _clustered(self, features: Floats) -> EpochState:
        """Return the labels, memories and association of features (N, D)."""
        options, found = self.options, {name: features[rows] for name, rows in self.rows.items()}
        labels: dict[str, Labels] = {}
        for name, eps in zip(found, options.eps, strict=True):
            if name == options.labeled:
                own = np.asarray(self.loader.images.targets)[self.rows[name]]
                labels[name] = np.unique(own, return_inverse=True)[1]
                continue
            labels[name] = cluster(
                found[name],
                k1=options.k1,
                k2=options.k2,
                eps=eps,
                min_samples=options.min_samples,
                renormalize=options.renormalize,
            )
        memories = {name: torch.from_numpy(cluster_means(found[name], labels[name])) for name in found}
        association: dict[str, torch.Tensor] = {}
        if self.associate and all(len(rows) for rows in memories.values()):
            association, memories = self.associate(found, labels, memories)
        whole = torch.empty(len(features), dtype=torch.int64)
        for name, rows in self.rows.items():
            whole[rows] = torch.from_numpy(labels[name])
        self._score(labels, association)
        return EpochState(self.trainer.epoch, whole, memories, association)

    def _say_what_is_wrong(self, share: float) -> None:
        """Log whether wrong labels, of a share of the images, are trained on."""
        if labeled := self.options.labeled:
            logger.warning(
                "%g %% of the training labels of %s images are wrong (DATASETS.WRONG_LABELS)", 100 * share, labeled
            )
        else:
            logger.warning("DATASETS.WRONG_LABELS: has no effect, since no labels are trained on")

    def _score(self, labels: dict[str, Labels], association: dict[str, torch.Tensor]) -> None:
        """Log how many clusters there are, and how good they are where identities are known."""
        known = self.options.log_truth and self.loader.labeled
        truth = {name: np.asarray(self.loader.images.truth)[rows] for name, rows in self.rows.items()}
        parts = dict(labels)
        if association and known:
            parts["across"] = across(labels, association["r2i"].numpy())
            truth["across"] = np.concatenate([truth[name] for name in labels])
        self.scores = {}
        told = []
        for name, found in parts.items():
            # Without identities only the number of clusters and the noise mean something.
            scores = quality(found, truth[name] if known else np.zeros(len(found), np.int64))
            kept = scores if known else {key: scores[key] for key in ("clusters", "noise")}
            self.scores |= {f"{key}_{name}": value for key, value in kept.items() if np.isfinite(value)}
            agreement = ", ".join(f"{key} {scores[key]:.3f}" for key in AGREEMENT if np.isfinite(kept.get(key, np.nan)))
            counts = f"{scores['clusters']:.0f} clusters, {scores['noise']:.1%} noise"
            told.append(f"{name} {counts}{f' ({agreement})' if agreement else ''}")
        logger.info("Epoch %d: %s", self.trainer.epoch + 1, "; ".join(told))

    def _begin(self, state: EpochState) -> None:
        """Hand an epoch's clusters to the loader and the model.

        Raises:
            DataError: a modality has fewer clusters than a batch needs.
        """
        sampler = self.loader.sampler
        assert isinstance(sampler, ApartSampler)
        sampler.set_labels(state.labels.numpy())
        self.model.begin_epoch(state)

    def before_step(self) -> None:
        """Remember the scale of the loss, by which a step that float16 skipped is known."""
        scaler = self.trainer.scaler
        self.scale = scaler.get_scale() if scaler.is_enabled() else 0.0

    def after_step(self) -> None:
        """Change the memories as the step has computed, unless it was skipped."""
        scaler = self.trainer.scaler
        overflowed = scaler.is_enabled() and scaler.get_scale() < self.scale
        if not self.trainer.skipped and not overflowed:
            self.model.commit_memories()

    def after_epoch(self) -> None:
        """Record the numbers of the clusters, which are written with the scores of the epoch."""
        self.trainer.storage.put_scalars(**self.scores, smoothing_hint=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
        state: EpochState | None = self.model.epoch_state
        return {"state": None if state is None else state.state_dict(), "scores": dict(self.scores)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Keep the state of the resumed run until training begins.

        Raises:
            DataError: it is that of other images.
        """
        self.scores = dict(saved["scores"])
        if saved["state"] is None:
            return
        state = EpochState()
        state.load_state_dict(saved["state"])
        if len(state.labels) != len(self.loader.images):
            raise DataError(f"it has clusters of {len(state.labels)} images, not of {len(self.loader.images)}")
        self.resumed = state


# The order of the labels is that of the modalities in a batch.
assert list(MODALITIES) == [VISIBLE, INFRARED]
