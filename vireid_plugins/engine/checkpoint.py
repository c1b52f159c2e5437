"""Checkpoints that are written atomically, load without running code, and store the provenance of their training.

A file is written under a temporary name, flushed to disk and renamed. A run is resumed from the newest checkpoint that
can be loaded, so a torn or foreign file costs only the steps since the previous checkpoint.

A checkpoint must fill the whole network and contain nothing else, unless `MODEL.WEIGHTS_PARTIAL` is set. Classifiers
are exempt when a new run starts or a model is scored, because their rows are the identities of the training data. It
stands for its averaged weights if it has any; only a resumed run, and `MODEL.WEIGHTS_AVERAGED False`, take the others.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fastreid.utils.checkpoint import Checkpointer
from torch import Tensor

from vireid_plugins.config.plugin_files import loaded_files
from vireid_plugins.engine.checkpoint_content import BrokenCheckpointError, checked, require_position
from vireid_plugins.engine.provenance import check_resumed, other_division, other_features, other_network
from vireid_plugins.errors import ConfigError, DataError, LossError
from vireid_plugins.escape import FILE_ONLY
from vireid_plugins.io.files import refusal, write_atomic, write_bytes
from vireid_plugins.io.weight_file import read_weight_file
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# Written between two epochs' checkpoints: when a signal ends a run, and before an evaluation.
STOPPED = "model_stopped"
# Names of the last checkpoint of a finished run and of the one with the best score.
FINAL, BEST = "model_final", "model_best"
# Ends of the names of what batch norms gather.
STATISTICS = ("running_mean", "running_var")
# Weights with one row per identity; fast-reid's own meta-architectures have a single head without a name.
CLASSIFIER = re.compile(r"heads\.(\w+\.)?weight")
# Buffers in checkpoints of older fast-reid releases; the configuration sets them now.
CONFIGURED = ("pixel_mean", "pixel_std")

# What an object of torch, of fast-reid or of a method raises if it is given a state that is none.
MALFORMED = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


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
    Entry("average", "averaged weights", "`WeightAverage`, with `SOLVER.EMA_DECAY`", "resume, `MODEL.WEIGHTS`", OURS),
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
        average: fill the model with the averaged weights of a checkpoint that has them (`MODEL.WEIGHTS_AVERAGED`).
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
        average: bool = True,
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
            LossError: weights are infinite or NaN; nothing is written.
            ValueError: an entry is not in `FORMAT`.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        self._require_finite(name)
        data = {"model": self.model.state_dict(), "vireid": self.facts, **kwargs}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        if unknown := set(data) - {entry.key for entry in FORMAT}:
            raise ValueError(f"checkpoint entries that FORMAT does not list: {', '.join(sorted(unknown))}")
        file = Path(self.save_dir) / f"{name}.pth"
        try:
            with write_atomic(file) as stream:
                torch.save(data, stream)
            if name != BEST or not (file.parent / "last_checkpoint").is_file():
                self.tag_last_checkpoint(file.name)
        except ConfigError as error:
            raise DataError(f"checkpoint '{file}' cannot be written: {refusal(error)}; {self.last_good()}") from None
        # One that is saved before an evaluation is saved again after it.
        extra = FILE_ONLY if kwargs.get("unscored") else None
        of = f" (chosen on {self.chosen_on})" if name == BEST else ""
        logger.info("Saved checkpoint %s%s", file, of, extra=extra)

    @property
    def chosen_on(self) -> str:
        """The set on which `model_best` is chosen."""
        return str(self.facts.get("chosen_on", "the test set"))

    def _require_finite(self, name: str) -> None:
        """Raise a `LossError` if a step with finite losses has made weights or statistics infinite or NaN."""
        tensors = {n: value for n, value in self.model.named_parameters() if value.numel()}
        tensors |= {n: value for n, value in self.model.named_buffers() if n.endswith(STATISTICS)}
        if not tensors:
            return
        # Read from the device at once.
        finite = torch.stack([value.detach().isfinite().all() for value in tensors.values()]).tolist()
        broken = [n for n, good in zip(tensors, finite, strict=True) if not good]
        if broken:
            raise LossError(
                f"checkpoint '{name}' is not saved: {len(broken)} of {len(tensors)} weights are infinite or NaN, the "
                f"first: {broken[0]}. A step had gradients that are not finite: lower SOLVER.BASE_LR or set "
                f"SOLVER.CLIP_GRADIENTS.ENABLED True; {self.last_good()}"
            )

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Record the name of the last checkpoint in `last_checkpoint`."""
        write_bytes(Path(self.save_dir) / "last_checkpoint", last_filename_basename.encode())

    def candidates(self) -> list[Path]:
        """Return the checkpoints of the output folder: first the one in `last_checkpoint`, then from the newest on."""
        folder = Path(self.save_dir)
        files = sorted(folder.glob("*.pth"), key=modified, reverse=True)
        try:
            last = last_checkpoint(folder)
        except DataError as error:
            logger.warning("%s; going by the dates of the checkpoints", error)
            last = None
        return sorted(files, key=lambda file: file != last)

    def last_good(self) -> str:
        """Return a clause that names the checkpoint to go on from, for messages."""
        last = next(iter(self.candidates()), None)
        return (
            f"the last good checkpoint is '{last}', from which --resume continues"
            if last
            else "there is no checkpoint yet"
        )

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
                return self._resume(file)
            except BrokenCheckpointError as error:
                self.resumed = None
                broken.append(str(error))
                logger.warning("%s; trying the previous checkpoint", error)
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
        if not Path(path).exists() and not Path(path).is_symlink():
            raise DataError(f"checkpoint '{path}' does not exist (MODEL.WEIGHTS or {self.save_dir}/last_checkpoint)")
        return self.fill(Path(path), load_checkpoint(Path(path)), checkpointables)

    def fill(self, file: Path, checkpoint: dict[str, Any], checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Do what `load` does, from the content of a checkpoint that `load_checkpoint` returned."""
        self._check_splits(file, checkpoint)
        if "average" in checkpoint:
            if self.average:
                checkpoint = {**checkpoint, "model": checkpoint["average"]["model"]}
            which = "its averaged weights" if self.average else "the weights of its last step, not their average"
            # Without the average it is not what was scored in training, so that every command says so.
            level = logging.INFO if self.average else logging.WARNING
            logger.log(level, "Of checkpoint %s: %s (MODEL.WEIGHTS_AVERAGED %s)", file, which, self.average)
        facts = checkpoint.get("vireid", {})
        others = self._fill(file, checkpoint, self.checkpointables if checkpointables is None else checkpointables)
        if changed := other_features(str(file), facts, self.facts):
            logger.warning(
                "checkpoint '%s' was trained with other keys that change its features, then -> now: %s",
                *(file, ", ".join(changed)),
            )
        return others

    def _resume(self, file: Path) -> dict[str, Any]:
        """Fill everything from a checkpoint of the run, and return its other entries.

        Raises:
            BrokenCheckpointError: it is torn or damaged, or contains only weights.
            DataError: it is of another training.
        """
        checkpoint = _load_training(file)
        self._check_splits(file, checkpoint)
        check_resumed(str(file), checkpoint["vireid"], self.facts)
        self.resumed = file
        if absent := [key for key in self.checkpointables if key not in checkpoint]:
            logger.warning("%s has no %s; the resumed run starts with new ones", file, ", ".join(absent))
        others = self._fill(file, checkpoint, self.checkpointables)
        require_position(file, others)
        return others

    def _fill(self, file: Path, checkpoint: dict[str, Any], checkpointables: Iterable[str]) -> dict[str, Any]:
        """Fill the model and the named checkpointables from a checkpoint, and return its other entries."""
        others = dict(checkpoint)
        if "average" in others and "average" in self.checkpointables:
            self._fit(file, others["average"]["model"])
        self._fill_model(file, others.pop("model"), checkpoint.get("vireid", {}))
        for key in checkpointables:
            state = others.pop(key, None)
            # Without float16 the scaler saves nothing, and one that starts later is new.
            if state is None or (key == "grad_scaler" and state == {}):
                continue
            try:
                self.checkpointables[key].load_state_dict(state)
            except BrokenCheckpointError as error:
                raise BrokenCheckpointError(f"checkpoint '{file}': {error}") from None
            except DataError as error:
                raise DataError(f"checkpoint '{file}': {error}") from None
            except MALFORMED as error:
                text = f"{type(error).__name__}: {error}".splitlines()[0]
                raise BrokenCheckpointError(f"checkpoint '{file}': '{key}' cannot be restored: {text}") from None
        return others

    def _fill_model(self, file: Path, given: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Fill the model, or raise a `DataError` and leave the model unchanged."""
        result = self._fit(file, given)
        if not result.fitting:
            raise DataError(f"checkpoint '{file}' contains no weights of this network: {result}")
        others = [] if self.resumed else classifiers_of_others(result)
        if set(result.unfilled) - set(others) or result.unused:
            self._require_partial(file, result, facts)
        self.model.load_state_dict(result.fitting, strict=False)
        new = [
            f"{name} ({result.shapes[name][0][0] if name in result.shapes else 'no'} identities in the file)"
            if name in others
            else name
            for name in result.unfilled
        ]
        total, rest = len(result.fitting) + len(new), f"; new: {listed(new)}" if new else ""
        logger.info("%d of %d tensors loaded from %s%s", len(result.fitting), total, file, rest)

    def _fit(self, file: Path, given: Mapping[str, Tensor]) -> Fit:
        """Compare the weights of a checkpoint with the model's."""
        tensors = {name: value for name, value in given.items() if name not in CONFIGURED}
        try:
            return fit(self.model.state_dict(), tensors, f"checkpoint '{file}'")
        except DataError as error:
            raise BrokenCheckpointError(str(error)) from None

    def _require_partial(self, file: Path, result: Fit, facts: Mapping[str, Any]) -> None:
        """Raise a `DataError` unless a partial fill is accepted; log a warning if it is."""
        text = f"checkpoint '{file}' does not fill the network: {result}{other_network(str(file), facts, self.facts)}"
        if self.resumed:
            raise DataError(f"{text}. A run can only be resumed with the same network")
        if not self.partial:
            raise DataError(
                f"{text}. Use the configuration that it was trained with (config.yaml in its folder), or accept a "
                "partial fill with MODEL.WEIGHTS_PARTIAL True"
            )
        logger.warning("%s; what it does not fill keeps its initial weights: %s", text, listed(result.unfilled) or "-")

    def _check_splits(self, file: Path, checkpoint: dict[str, Any]) -> None:
        facts = checkpoint.get("vireid", {})
        if drawn := other_division(str(file), facts, self.facts):
            raise DataError(
                f"checkpoint '{file}' was trained on other identities of these images, then -> now: "
                f"{', '.join(drawn)}. It would be tested on identities it was trained on; set the keys as they were"
            )
        trained = facts.get("splits", {})
        for name, split in self.splits.items():
            if trained.get(name, split) != split:
                raise DataError(
                    f"checkpoint '{file}' was trained on split {trained[name]} of {name}, but split {split} is "
                    "configured. The splits share identities, so it would be tested on identities it was trained on. "
                    f"Set DATASETS.REGDB.SPLIT to {trained[name]}, or use a checkpoint of split {split}"
                )
            # A run on other data sets has no split of this one. What it was started from is not looked at.
            elsewhere = isinstance(datasets := facts.get("datasets"), list) and name not in datasets
            if name not in trained and not elsewhere:
                logger.warning("%s has no record of a split of %s that it was trained on", file, name)


def classifiers_of_others(result: Fit) -> list[str]:
    """Return the classifiers that a checkpoint lacks, or has for a different number of identities."""
    resized = [name for name, (in_file, in_model) in result.shapes.items() if in_file[1:] == in_model[1:]]
    return [name for name in (*result.missing, *resized) if CLASSIFIER.fullmatch(name)]


def modified(file: Path) -> int:
    """Return when a file was last changed, also if it is a link to nothing."""
    return file.lstat().st_mtime_ns if file.is_symlink() and not file.exists() else file.stat().st_mtime_ns


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that `last_checkpoint` in an output folder names, or None if there is no such file.

    Raises:
        DataError: it cannot be read, or its content is not the name of a file in the folder.
    """
    tag = folder / "last_checkpoint"
    if not tag.is_file():
        return None
    try:
        name = tag.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DataError(f"'{tag}' cannot be read: {error.strerror}; set MODEL.WEIGHTS") from None
    except ValueError:
        name = ""
    if not name or len(name) > 255 or Path(name).name != name or not name.isprintable():
        raise DataError(
            f"'{tag}' does not hold the name of a checkpoint in its folder; write it there, such as model_final.pth, "
            "or set MODEL.WEIGHTS"
        )
    return folder / name


def _load_training(file: Path) -> dict[str, Any]:
    """Read a checkpoint that a run can be resumed from.

    Raises:
        BrokenCheckpointError: the file is torn, not a checkpoint, or contains only weights.
    """
    try:
        checkpoint = load_checkpoint(file)
    except DataError as error:
        raise BrokenCheckpointError(str(error)) from None
    if not {"optimizer", "vireid"} <= set(checkpoint):
        raise BrokenCheckpointError(f"'{file}' contains weights, but no training state to resume")
    return checkpoint


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint into host memory, without running code in it, and check its contents.

    Raises:
        DataError: the file is missing, torn or not a checkpoint.
    """
    checkpoint = checked(file, read_weight_file(file))
    named = [name for name in checkpoint.get("vireid", {}).get("plugins", ()) if name not in loaded_files()]
    if named:
        logger.warning(
            "checkpoint '%s' was trained with --plugin %s, which is not loaded; its keys and parts may be missing",
            *(file, " --plugin ".join(map(str, named))),
        )
    return checkpoint
