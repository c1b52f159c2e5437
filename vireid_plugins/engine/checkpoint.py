"""Checkpoints that are written whole or not at all, load without running code, and know what they were trained on.

A file is written beside its place, flushed to the disk and renamed. What can be resumed is looked for from the newest
on, so that a torn or foreign file costs the steps since the one before it and not the run.

A checkpoint fills the whole network and has nothing else, or it is an error, unless `MODEL.WEIGHTS_PARTIAL` accepts
that. Only classifiers need not fit, where a run begins or is scored: their rows are the identities of other data.
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
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import refusal, write_atomic
from vireid_plugins.io.weight_file import read_weight_file
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# Written when a signal ends a run between two epochs' checkpoints.
STOPPED = "model_stopped"
# Weights with a row for every identity.
CLASSIFIER = re.compile(r"heads\.\w+\.weight")
# Checkpoints of older fast-reids have what the configuration says.
CONFIGURED = ("pixel_mean", "pixel_std")


class Entry(NamedTuple):
    """An entry of a checkpoint.

    Attributes:
        key: its name in the file.
        content: what it holds.
        written_by: what saves it, and when, where that is not always.
        read_by: what uses it.
        since: the first release that writes it, or fast-reid, whose own checkpoints have it too.
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
    Entry("optimizer", "state and rates of the parameter groups", "the optimizer", "resume", FAST),
    Entry("lr_sched", "position of the learning-rate schedule", "the schedule", "resume", FAST),
    Entry("grad_scaler", "scale of the loss; empty without float16", "torch's `GradScaler`", "resume", OURS),
    Entry("metrics", "sums of losses not yet written; skipped steps", "`StepMetrics`", "resume", OURS),
    Entry("random_state", "random generators of every process", "`RandomState`", "resume", OURS),
    Entry("average", "averaged weights", "`WeightAverage`, with `SOLVER.EMA_DECAY`", "resume, evaluation", OURS),
    Entry("hooks", "states of the method's own hooks, by name", "`HookStates`, if there are any", "resume", OURS),
    Entry("checkpoints", "best score so far", "`Checkpoints`", "resume", OURS),
    Entry("writers", "scalars that the log smooths; last iterations written", "`Writers`", "resume", OURS),
    Entry("epoch", "last finished epoch, from 0; -1 is none", "`Checkpoints`, `StopOnSignal`", "resume", FAST),
    Entry("iteration", "number of finished steps", "`Checkpoints`, `StopOnSignal`", "resume", OURS),
    Entry("iters_per_epoch", "steps per epoch", "`Checkpoints`, `StopOnSignal`", "resume", OURS),
    Entry("metric", "latest score of the set that chooses", "`Checkpoints`", "the patch `resume`", FAST),
)


class VireidCheckpointer(Checkpointer):
    """fast-reid's checkpointer with an atomic write and a load that accepts tensors and plain values only.

    Args:
        model: the model.
        save_dir: the output folder.
        facts: stored beside the weights under `vireid`, see `training_facts`.
        splits: the splits that are trained or tested now; a checkpoint of another one is refused.
        average: fill the model with the moving average of the weights, where the checkpoint has one.
        partial: accept checkpoints that do not fill the model (`MODEL.WEIGHTS_PARTIAL`); a run goes on from none such.
        **others: as in fast-reid's `Checkpointer`.

    Attributes:
        resumed: the checkpoint that the run goes on from; None is none.
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
        """Write `<name>.pth` and point `last_checkpoint` at it; at `model_best` only while there is no other.

        Args:
            name: of the file.
            **kwargs: entries besides the model, its provenance and the checkpointables.

        Raises:
            DataError: it cannot be written; the message names the last one that was.
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
            file.parent.mkdir(parents=True, exist_ok=True)
            with write_atomic(file) as stream:
                torch.save(data, stream)
            if name != "model_best" or not (file.parent / "last_checkpoint").is_file():
                self.tag_last_checkpoint(file.name)
        except (OSError, RuntimeError) as error:
            if not refusal(error):
                raise
            last = next(iter(self.candidates()), None)
            good = f"the last good checkpoint is '{last}'; make room and go on with --resume" if last else "none exists"
            raise DataError(f"checkpoint '{file}' cannot be written: {refusal(error)}; {good}") from None
        chosen = self.facts.get("chosen_on", "the test set")
        logger.info("Saved checkpoint %s%s", file, f" (chosen on {chosen})" if name == "model_best" else "")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Say which checkpoint is the last."""
        with write_atomic(Path(self.save_dir) / "last_checkpoint") as stream:
            stream.write(last_filename_basename.encode())

    def candidates(self) -> list[Path]:
        """Return the checkpoints of the output folder, the last one first."""
        folder = Path(self.save_dir)
        found = sorted(folder.glob("*.pth"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        tag = folder / "last_checkpoint"
        last = folder / tag.read_text(encoding="utf-8", errors="replace").strip() if tag.is_file() else None
        return sorted(found, key=lambda file: file != last)

    def has_checkpoint(self) -> bool:
        """Tell whether the output folder has a checkpoint."""
        return bool(self.candidates())

    def resume_or_load(self, path: str, *, resume: bool = True) -> Any:
        """Go on from the newest whole checkpoint of the output folder, or fill the model from `path`.

        Raises:
            DataError: there are checkpoints and none can be resumed, or the training was another one.
        """
        broken: list[str] = []
        for file in self.candidates() if resume else []:
            try:
                checkpoint = _load_training(file)
            except DataError as error:
                broken.append(str(error))
                logger.warning("%s; the checkpoint before it is tried", error)
                continue
            self._check_splits(file, checkpoint)
            check_resumed(str(file), checkpoint["vireid"], self.facts)
            self.resumed = file
            if absent := [key for key in self.checkpointables if key not in checkpoint]:
                logger.warning("%s has no %s: new in the run that goes on", file, ", ".join(absent))
            return self._fill(file, checkpoint, self.checkpointables)
        if broken:
            raise DataError(
                f"nothing in '{self.save_dir}' can be resumed: {'; '.join(broken)}. Put a whole checkpoint there, or "
                "start anew with another OUTPUT_DIR"
            )
        if resume:
            logger.info("There is no checkpoint in %s; the run begins", self.save_dir)
        return self.load(path, checkpointables=[])

    def load(self, path: str, checkpointables: list[str] | None = None) -> Any:
        """Fill the model, and the named or all other parts, from a checkpoint; an empty path is none.

        Raises:
            DataError: the file is missing, torn or not a checkpoint, of another split, or does not fill the model.
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
        """Fill the model and the named parts, and return what is left of a checkpoint."""
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
        """Fill the model, or raise a `DataError` and leave it as it is."""
        given = checkpoint.pop("model")
        # Of a model that was wrapped for several devices.
        wrapped = all(name.startswith("module.") for name in given)
        tensors = {name.removeprefix("module.") if wrapped else name: torch.as_tensor(t) for name, t in given.items()}
        for name in CONFIGURED:
            tensors.pop(name, None)
        found = fit(self.model.state_dict(), tensors)
        if not found.fitting:
            raise DataError(f"checkpoint '{file}' holds no weights of this network: {found}")
        others = [] if self.resumed else classifiers_of_others(found)
        if set(found.unfilled) - set(others) or found.unused:
            self._require_partial(file, found, checkpoint.get("vireid", {}))
        elif others:
            rows = [f"{name} has {found.shapes[name][0][0] if name in found.shapes else 'no'}" for name in others]
            logger.info("Classifiers of other identities are not taken from %s: %s", file, listed(rows))
        self.model.load_state_dict(found.fitting, strict=False)

    def _require_partial(self, file: Path, found: Fit, facts: Mapping[str, Any]) -> None:
        """Raise unless a partial fill is accepted; then it is a warning."""
        text = f"checkpoint '{file}' does not fill the network: {found}{other_network(facts, self.facts)}"
        if self.resumed:
            raise DataError(f"{text}. A run goes on with the network that it began with")
        if not self.partial:
            raise DataError(
                f"{text}. Set the keys of the network that it is of, or accept a partial fill with "
                "MODEL.WEIGHTS_PARTIAL True"
            )
        logger.warning("%s; what is not filled starts at random", text)

    def _check_splits(self, file: Path, checkpoint: dict[str, Any]) -> None:
        trained = checkpoint.get("vireid", {}).get("splits", {})
        for name, split in self.splits.items():
            if trained.get(name, split) != split:
                raise DataError(
                    f"checkpoint '{file}' was trained on split {trained[name]} of {name}, but split {split} is asked "
                    "for. The splits share identities: it would be tested on people it was trained on. Set "
                    f"DATASETS.REGDB.SPLIT to {trained[name]}, or name a checkpoint of split {split}"
                )
            if name not in trained:
                logger.warning("%s does not say which split of %s it was trained on, if any", file, name)


def classifiers_of_others(found: Fit) -> list[str]:
    """Return the classifiers that a checkpoint lacks, or has with another number of identities."""
    resized = [name for name, (there, here) in found.shapes.items() if there[1:] == here[1:]]
    return [name for name in (*found.missing, *resized) if CLASSIFIER.fullmatch(name)]


def _load_training(file: Path) -> dict[str, Any]:
    """Read a checkpoint that a run can go on from.

    Raises:
        DataError: it is torn, not a checkpoint, or has weights only.
    """
    checkpoint = load_checkpoint(file)
    if not {"optimizer", "vireid"} <= set(checkpoint):
        raise DataError(f"'{file}' has weights and no training that could go on")
    return checkpoint


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint to the host without running anything in it.

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
            raise DataError(f"checkpoint '{file}': 'model' must be a state dict; its '{name}' is no tensor but {kind}")
    return checkpoint
