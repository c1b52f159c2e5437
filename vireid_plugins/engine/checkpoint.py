"""Checkpoints that are written whole or not at all, load without running code, and know what they were trained on."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.engine.hooks import PeriodicCheckpointer
from fastreid.utils.checkpoint import Checkpointer

from vireid_plugins.compat.weight_file import read_weight_file
from vireid_plugins.config.validation import VALIDATION
from vireid_plugins.data.datasets import build_options
from vireid_plugins.errors import DataError

logger = logging.getLogger("fastreid." + __name__)


class VireidCheckpointer(Checkpointer):
    """fast-reid's checkpointer with an atomic write and a load that accepts tensors and plain values only.

    Args:
        model: the model.
        save_dir: the output folder.
        facts: stored beside the weights under `vireid`, see `training_facts`.
        splits: the splits that are trained or tested now; a checkpoint of another one is refused.
        average: fill the model with the moving average of the weights, where the checkpoint has one.
        **others: as in fast-reid's `Checkpointer`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        facts: dict[str, Any] | None = None,
        splits: dict[str, int] | None = None,
        average: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(model, save_dir, **others)
        self.average = average
        self.facts, self.splits = facts or {}, splits or {}

    def save(self, name: str, **kwargs: Any) -> None:
        """Write `<name>.pth` and point `last_checkpoint` at it."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), "vireid": self.facts, **kwargs}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        file = Path(self.save_dir) / f"{name}.pth"
        partial = file.with_suffix(".partial")
        with partial.open("wb") as stream:
            torch.save(data, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
        chosen = self.facts.get("chosen_on", "the test set")
        logger.info("Saved checkpoint %s%s", file, f" (chosen on {chosen})" if name == "model_best" else "")
        self.tag_last_checkpoint(file.name)

    def load(self, path: str, checkpointables: list[str] | None = None) -> Any:
        """Fill the model, and the named or all other parts, from a checkpoint; an empty path is none.

        Raises:
            DataError: the file is missing, torn or not a checkpoint, or of another split.
        """
        if path and not Path(path).is_file():
            raise DataError(f"checkpoint '{path}' does not exist (MODEL.WEIGHTS or {self.save_dir}/last_checkpoint)")
        return super().load(path, checkpointables)

    def _load_file(self, f: str) -> Any:
        checkpoint = load_checkpoint(Path(f))
        trained = checkpoint.get("vireid", {}).get("splits", {})
        for name, split in self.splits.items():
            if trained.get(name, split) != split:
                raise DataError(
                    f"checkpoint '{f}' was trained on split {trained[name]} of {name}, but split {split} is asked for. "
                    "The splits share identities: it would be tested on people it was trained on. Set "
                    f"DATASETS.REGDB.SPLIT to {trained[name]}, or name a checkpoint of split {split}"
                )
            if name not in trained:
                logger.warning("%s does not say which split of %s it was trained on, if any", f, name)
        if self.average and "average" in checkpoint:
            checkpoint["model"] = checkpoint["average"]["model"]
        return checkpoint


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint to the host without running anything in it.

    Raises:
        DataError: the file is missing, torn or not a checkpoint.
    """
    checkpoint = read_weight_file(file)
    if "model" not in checkpoint:
        raise DataError(f"checkpoint '{file}' has no entry 'model'; it was not written by this trainer or fast-reid")
    return checkpoint


def training_facts(cfg: CfgNode) -> dict[str, Any]:
    """Return what a checkpoint says of its training."""
    return {
        "datasets": list(cfg.DATASETS.NAMES),
        "splits": splits_of(cfg, cfg.DATASETS.NAMES),
        "chosen_on": "the validation identities" if cfg.DATASETS.TESTS[:1] == (VALIDATION,) else "the test set",
        "num_classes": int(cfg.MODEL.HEADS.NUM_CLASSES),
        "meta_architecture": cfg.MODEL.META_ARCHITECTURE,
        "protocols": list(cfg.TEST.PROTOCOLS),
    }


def splits_of(cfg: CfgNode, names: Iterable[str]) -> dict[str, int]:
    """Return the split that the configuration says for those of the data sets `names` that have splits."""
    options = ((name, build_options(cfg, name)) for name in names)
    return {name: int(found["split"]) for name, found in options if "split" in found}


class Checkpoints(PeriodicCheckpointer):
    """fast-reid's hook, whose best metric survives a resume and stands in every checkpoint, the best one included."""

    best_metric: float

    def step(self, epoch: int, **kwargs: Any) -> None:
        """Save what is due after `epoch`, zero-based: `model_best` first, so that `last_checkpoint` is the last epoch.

        Args:
            epoch: the epoch that has ended.
            **kwargs: `metric`, the latest score of the set that chooses.
        """
        last = epoch >= self.max_epoch - 1
        if not last and (epoch + 1) % self.period:
            return
        if kwargs["metric"] > self.best_metric:
            self.best_metric = kwargs["metric"]
            self.checkpointer.save("model_best", epoch=epoch, **kwargs)
        self.checkpointer.save("model_final" if last else f"model_{epoch:04d}", epoch=epoch, **kwargs)

    def state_dict(self) -> dict[str, float]:
        """Return what is saved with every checkpoint."""
        return {"best_metric": float(self.best_metric)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take the best metric of the run that is resumed."""
        self.best_metric = state["best_metric"]
