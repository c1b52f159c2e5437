"""Checkpoints that are written atomically, load without running code, and store the provenance of their training.

A file is written under a temporary name, flushed to disk and renamed. A run is resumed from the newest checkpoint that
can be loaded, so a torn or foreign file costs only the steps since the previous checkpoint.

A checkpoint must fill the whole network and contain nothing else, unless `MODEL.WEIGHTS_PARTIAL` is set. Classifiers
are exempt when a new run starts or a model is scored, because their rows are the identities of the training data.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fastreid.utils.checkpoint import Checkpointer
from torch import Tensor

from vireid_plugins.engine.provenance import check_resumed, other_network
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.files import refusal, write_atomic, write_bytes
from vireid_plugins.io.weight_file import read_weight_file
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# Written between two epochs' checkpoints: when a signal ends a run, and before an evaluation.
STOPPED = "model_stopped"
# Weights with one row per identity.
CLASSIFIER = re.compile(r"heads\.\w+\.weight")
# Buffers in checkpoints of older fast-reid releases; the configuration sets them now.
CONFIGURED = ("pixel_mean", "pixel_std")


class Entry(NamedTuple):
    """An entry of a checkpoint.

    Attributes:
        key: name of the entry in the file.
        content: what it contains.
        written_by: what saves it, and the condition if it is not always saved.
        read_by: what uses it.
        since: first release that writes it, or fast-reid if its own checkpoints have it too.
    """

    key: str
    content: str
    written_by: str
    read_by: str
    since: str


FAST, OURS = "fast-reid", "0.1.0"
FORMAT = (
    Entry("model", "weights and buffers", "`VireidCheckpointer`", "resume, `MODEL.WEIGHTS`, conversion", FAST),
    Entry("vireid", "provenance: data, split, configuration", "`VireidCheckpointer`", "resume, `MODEL.WEIGHTS`", OURS),
    Entry("optimizer", "state and learning rates of the parameter groups", "the optimizer", "resume", FAST),
    Entry("lr_sched", "position of the learning-rate schedule", "the schedule", "resume", FAST),
    Entry("grad_scaler", "scale of the loss; empty without float16", "torch's `GradScaler`", "resume", OURS),
    Entry("metrics", "sums of losses not yet logged; skipped steps", "`StepMetrics`", "resume", OURS),
    Entry("random_state", "random generators of every process", "`RandomState`", "resume", OURS),
    Entry("average", "averaged weights", "`WeightAverage`, with `SOLVER.EMA_DECAY`", "resume, evaluation", OURS),
    Entry("hooks", "states of the method's own hooks, by name", "`HookStates`, if it has any", "resume", OURS),
    Entry("checkpoints", "best score so far", "`Checkpoints`", "resume", OURS),
    Entry("writers", "history of the logged scalars; last iterations written", "`Writers`", "resume", OURS),
    Entry("epoch", "last finished epoch, from 0; -1: none", "`Checkpoints`, `StopOnSignal`", "resume", FAST),
    Entry("iteration", "number of finished steps", "`Checkpoints`, `StopOnSignal`", "resume", OURS),
    Entry("iters_per_epoch", "steps per epoch", "`Checkpoints`, `StopOnSignal`", "resume", OURS),
    Entry(
        "metric",
        "score of the epoch on the set that picks the best",
        "`Checkpoints`, if scored",
        "the patch `resume`",
        FAST,
    ),
    Entry("unscored", "the evaluation of the epoch is still to come", "`Checkpoints`, before it", "resume", OURS),
)


class VireidCheckpointer(Checkpointer):
    """fast-reid's checkpointer, which writes atomically and loads only tensors and plain values.

    Args:
        model: the model.
        save_dir: the output folder.
        facts: provenance, stored in the checkpoint as `vireid`; see `training_facts`.
        splits: splits that are trained or tested; checkpoints of other splits are rejected.
        average: fill the model with the moving average of the weights, if the checkpoint has one.
        partial: accept checkpoints that do not fill the model (`MODEL.WEIGHTS_PARTIAL`), except to resume a run.
        **others: as in fast-reid's `Checkpointer`.

    Attributes:
        resumed: the checkpoint that the run was resumed from, or None.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        facts: dict[str, Any] | None = None,
        splits: dict[str, int] | None = None,
        average: bool = False,
        partial: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(model, save_dir, **others)
        self.average, self.partial = average, partial
        self.facts, self.splits = facts or {}, splits or {}
        self.resumed: Path | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """Write `<name>.pth` and point `last_checkpoint` to it; to `model_best` only if there is no other checkpoint.

        Args:
            name: file name without suffix.
            **kwargs: entries besides the model, its provenance and the checkpointables.

        Raises:
            DataError: the file cannot be written; the message names the last good checkpoint.
            ValueError: an entry is not in `FORMAT`.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), "vireid": self.facts, **kwargs}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        if unknown := set(data) - {entry.key for entry in FORMAT}:
            raise ValueError(f"checkpoint entries that FORMAT does not list: {', '.join(sorted(unknown))}")
        file = Path(self.save_dir) / f"{name}.pth"
        try:
            with write_atomic(file) as stream:
                torch.save(data, stream)
            if name != "model_best" or not (file.parent / "last_checkpoint").is_file():
                self.tag_last_checkpoint(file.name)
        except ConfigError as error:
            last = next(iter(self.candidates()), None)
            advice = f"the last good checkpoint is '{last}'; free space and continue with --resume" if last else ""
            advice = advice or "there is no earlier checkpoint"
            raise DataError(f"checkpoint '{file}' cannot be written: {refusal(error)}; {advice}") from None
        chosen = self.facts.get("chosen_on", "the test set")
        logger.info("Saved checkpoint %s%s", file, f" (chosen on {chosen})" if name == "model_best" else "")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Record the name of the last checkpoint in `last_checkpoint`."""
        write_bytes(Path(self.save_dir) / "last_checkpoint", last_filename_basename.encode())

    def candidates(self) -> list[Path]:
        """Return the checkpoints of the output folder: first the one in `last_checkpoint`, then from the newest on."""
        folder = Path(self.save_dir)
        files = sorted(folder.glob("*.pth"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        tag = folder / "last_checkpoint"
        last = folder / tag.read_text(encoding="utf-8", errors="replace").strip() if tag.is_file() else None
        return sorted(files, key=lambda file: file != last)

    def has_checkpoint(self) -> bool:
        """Return whether the output folder has a checkpoint."""
        return bool(self.candidates())

    def resume_or_load(self, path: str, *, resume: bool = True) -> Any:
        """Resume from the newest intact checkpoint of the output folder, or fill the model from `path`.

        Raises:
            DataError: none of the checkpoints can be resumed, or the checkpoint is of a different training.
        """
        broken: list[str] = []
        for file in self.candidates() if resume else []:
            try:
                checkpoint = _load_training(file)
            except DataError as error:
                broken.append(str(error))
                logger.warning("%s; trying the previous checkpoint", error)
                continue
            self._check_splits(file, checkpoint)
            check_resumed(str(file), checkpoint["vireid"], self.facts)
            self.resumed = file
            if absent := [key for key in self.checkpointables if key not in checkpoint]:
                logger.warning("%s has no %s; the resumed run starts with new ones", file, ", ".join(absent))
            return self._fill(file, checkpoint, self.checkpointables)
        if broken:
            raise DataError(
                f"nothing in '{self.save_dir}' can be resumed: {'; '.join(broken)}. Restore an intact checkpoint, or "
                "start a new run with another OUTPUT_DIR"
            )
        if resume:
            logger.info("No checkpoint in %s; starting a new run", self.save_dir)
        return self.load(path, checkpointables=[])

    def load(self, path: str, checkpointables: list[str] | None = None) -> Any:
        """Fill the model and the named checkpointables, by default all, from a checkpoint; return its other entries.

        An empty path loads nothing.

        Raises:
            DataError: the file is missing, torn or not a checkpoint, is of another split, or does not fill the model.
        """
        if not path:
            return {}
        file = Path(path)
        if not file.is_file():
            raise DataError(f"checkpoint '{path}' does not exist (MODEL.WEIGHTS or {self.save_dir}/last_checkpoint)")
        checkpoint = load_checkpoint(file)
        self._check_splits(file, checkpoint)
        if self.average and "average" in checkpoint:
            checkpoint["model"] = checkpoint["average"]["model"]
        return self._fill(file, checkpoint, self.checkpointables if checkpointables is None else checkpointables)

    def _fill(self, file: Path, checkpoint: dict[str, Any], checkpointables: Iterable[str]) -> dict[str, Any]:
        """Fill the model and the named checkpointables from a checkpoint, and return its other entries."""
        logger.info("Loading checkpoint %s", file)
        self._fill_model(file, checkpoint)
        for key in checkpointables:
            try:
                if key in checkpoint:
                    self.checkpointables[key].load_state_dict(checkpoint.pop(key))
            except DataError as error:
                raise DataError(f"checkpoint '{file}': {error}") from None
        return checkpoint

    def _fill_model(self, file: Path, checkpoint: dict[str, Any]) -> None:
        """Fill the model, or raise a `DataError` and leave the model unchanged."""
        given = checkpoint.pop("model")
        # A model saved inside its wrapper for several devices.
        wrapped = all(name.startswith("module.") for name in given)
        tensors = {name.removeprefix("module.") if wrapped else name: torch.as_tensor(t) for name, t in given.items()}
        for name in CONFIGURED:
            tensors.pop(name, None)
        result = fit(self.model.state_dict(), tensors)
        if not result.fitting:
            raise DataError(f"checkpoint '{file}' contains no weights of this network: {result}")
        others = [] if self.resumed else classifiers_of_others(result)
        if set(result.unfilled) - set(others) or result.unused:
            self._require_partial(file, result, checkpoint.get("vireid", {}))
        elif others:
            rows = [f"{name} has {result.shapes[name][0][0] if name in result.shapes else 'no'}" for name in others]
            logger.info("Classifiers of other identities are not loaded from %s: %s", file, listed(rows))
        self.model.load_state_dict(result.fitting, strict=False)

    def _require_partial(self, file: Path, result: Fit, facts: Mapping[str, Any]) -> None:
        """Raise a `DataError` unless a partial fill is accepted; log a warning if it is."""
        text = f"checkpoint '{file}' does not fill the network: {result}{other_network(facts, self.facts)}"
        if self.resumed:
            raise DataError(f"{text}. A run can only be resumed with the same network")
        if not self.partial:
            raise DataError(
                f"{text}. Use the configuration that it was trained with (config.yaml in its folder), or accept a "
                "partial fill with MODEL.WEIGHTS_PARTIAL True"
            )
        logger.warning("%s; the rest keeps its initial weights", text)

    def _check_splits(self, file: Path, checkpoint: dict[str, Any]) -> None:
        trained = checkpoint.get("vireid", {}).get("splits", {})
        for name, split in self.splits.items():
            if trained.get(name, split) != split:
                raise DataError(
                    f"checkpoint '{file}' was trained on split {trained[name]} of {name}, but split {split} is "
                    "configured. The splits share identities, so it would be tested on identities it was trained on. "
                    f"Set DATASETS.REGDB.SPLIT to {trained[name]}, or use a checkpoint of split {split}"
                )
            if name not in trained:
                logger.warning("%s has no record of a split of %s that it was trained on", file, name)


def classifiers_of_others(result: Fit) -> list[str]:
    """Return the classifiers that a checkpoint lacks, or has for a different number of identities."""
    resized = [name for name, (in_file, in_model) in result.shapes.items() if in_file[1:] == in_model[1:]]
    return [name for name in (*result.missing, *resized) if CLASSIFIER.fullmatch(name)]


def _load_training(file: Path) -> dict[str, Any]:
    """Read a checkpoint that a run can be resumed from.

    Raises:
        DataError: the file is torn, not a checkpoint, or contains only weights.
    """
    checkpoint = load_checkpoint(file)
    if not {"optimizer", "vireid"} <= set(checkpoint):
        raise DataError(f"'{file}' contains weights, but no training state to resume")
    return checkpoint


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint into host memory, without running code in it.

    Raises:
        DataError: the file is missing, torn or not a checkpoint.
    """
    checkpoint = read_weight_file(file)
    weights = checkpoint.get("model")
    if not isinstance(weights, Mapping):
        raise DataError(f"checkpoint '{file}' has no entry 'model'; it was not written by this trainer or fast-reid")
    for name, value in weights.items():
        if not isinstance(value, Tensor | np.ndarray):
            kind = type(value).__name__
            raise DataError(f"checkpoint '{file}': 'model' must be a state dict, but '{name}' is {kind}, not a tensor")
    return checkpoint
