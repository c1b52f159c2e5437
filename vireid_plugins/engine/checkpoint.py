"""Checkpoints that are written atomically, load without running code, and store the provenance of their training.

A file is written under a temporary name, flushed to disk and renamed. `last.pth` has all that resumes the run and is
written first; the weights of the last and of the best epoch are files of their own, without the optimizer. A run is
resumed from the newest checkpoint that can be loaded and has a training state.

A checkpoint must fill the whole network and contain nothing else, unless `MODEL.WEIGHTS_PARTIAL` is set. Classifiers
are exempt when a new run starts or a model is scored, because their rows are the identities of the training data. It
stands for its averaged weights if it has any; only a resumed run, and `MODEL.WEIGHTS_AVERAGED False`, take the others.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from fastreid.utils.checkpoint import Checkpointer

from vireid_plugins.config.plugin_files import loaded_files, named_files
from vireid_plugins.engine.checkpoint_content import BrokenCheckpointError, checked, require_position
from vireid_plugins.engine.checkpoint_fill import check_splits, fill_model, fit_model
from vireid_plugins.engine.checkpoint_format import FORMAT, OF_WEIGHTS
from vireid_plugins.engine.provenance import check_resumed, other_features
from vireid_plugins.engine.run_files import BEST, LAST, newest_first
from vireid_plugins.errors import ConfigError, DataError, LossError
from vireid_plugins.escape import FILE_ONLY
from vireid_plugins.io.files import refusal, write_atomic, write_bytes
from vireid_plugins.io.weight_file import read_weight_file

logger = logging.getLogger("fastreid." + __name__)
# Ends of the names of what batch norms gather.
STATISTICS = ("running_mean", "running_var")
# What an object of torch, of fast-reid or of a method raises if it is given a state that is none.
MALFORMED = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


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
        """Write all that resumes the run to `<name>.pth`, and point `last_checkpoint` to it.

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
        file = self._write(name, set(self.checkpointables), kwargs)
        try:
            self.tag_last_checkpoint(file.name)
        except ConfigError as error:
            raise self._unwritten(file, error) from None

    def save_weights(self, name: str, **kwargs: Any) -> None:
        """Write the weights, averaged ones included, and their provenance to `<name>.pth`.

        The arguments and errors are those of `save`.
        """
        if self.save_dir and self.save_to_disk:
            self._write(name, OF_WEIGHTS & set(self.checkpointables), kwargs)

    def _write(self, name: str, parts: Iterable[str], others: Mapping[str, Any]) -> Path:
        """Write a file with the states of these checkpointables, and return it."""
        self._require_finite(name)
        data = {"model": self.model.state_dict(), "vireid": self.facts, **others}
        data |= {key: self.checkpointables[key].state_dict() for key in self.checkpointables if key in parts}
        if unknown := set(data) - {entry.key for entry in FORMAT}:
            raise ValueError(f"checkpoint entries that FORMAT does not list: {', '.join(sorted(unknown))}")
        file = Path(self.save_dir) / f"{name}.pth"
        try:
            with write_atomic(file) as stream:
                torch.save(data, stream)
        except ConfigError as error:
            raise self._unwritten(file, error) from None
        # One that is saved before an evaluation is saved again after it.
        extra = FILE_ONLY if others.get("unscored") else None
        of = f" (chosen on {self.chosen_on})" if name == BEST else ""
        logger.info("Saved checkpoint %s%s", file, of, extra=extra)
        return file

    def _unwritten(self, file: Path, error: ConfigError) -> DataError:
        return DataError(f"checkpoint '{file}' cannot be written: {refusal(error)}; {self.last_good()}")

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
        """Return the checkpoints of the output folder, see `newest_first`."""
        return newest_first(Path(self.save_dir))

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
        facts = checkpoint.get("vireid", {})
        check_splits(file, facts, self.facts, self.splits)
        self._inherit(facts)
        if "average" in checkpoint:
            if self.average:
                checkpoint = {**checkpoint, "model": checkpoint["average"]["model"]}
            which = "its averaged weights" if self.average else "the weights of its last step, not their average"
            # Without the average it is not what was scored in training, so that every command says so.
            level = logging.INFO if self.average else logging.WARNING
            logger.log(level, "Of checkpoint %s: %s (MODEL.WEIGHTS_AVERAGED %s)", file, which, self.average)
        others = self._fill(file, checkpoint, self.checkpointables if checkpointables is None else checkpointables)
        if changed := other_features(str(file), facts, self.facts):
            logger.warning(
                "checkpoint '%s' was trained with other keys that change its features, then -> now: %s",
                *(file, ", ".join(changed)),
            )
        return others

    def _inherit(self, facts: Mapping[str, Any]) -> None:
        """Say no longer that identities were not read if the weights come from a training that read them."""
        if "digest" in facts and "identities" not in facts:
            self.facts.pop("identities", None)

    def _resume(self, file: Path) -> dict[str, Any]:
        """Fill everything from a checkpoint of the run, and return its other entries.

        Raises:
            BrokenCheckpointError: it is torn or damaged, or contains only weights.
            DataError: it is of another training.
        """
        checkpoint = _load_training(file)
        check_splits(file, checkpoint["vireid"], self.facts, self.splits)
        check_resumed(str(file), checkpoint["vireid"], self.facts)
        self._inherit(checkpoint["vireid"])
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
            fit_model(self.model, file, others["average"]["model"])
        fill_model(self.model, file, checkpoint, self.facts, resumed=self.resumed is not None, partial=self.partial)
        del others["model"]
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
        raise BrokenCheckpointError(f"'{file}' contains weights, but no training state to resume: {LAST}.pth has it")
    return checkpoint


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint into host memory, without running code in it, and check its contents.

    Raises:
        DataError: the file is missing, torn or not a checkpoint.
    """
    if file.is_dir():
        inside = ", ".join(sorted(one.name for one in file.glob("*.pth"))) or "none"
        raise DataError(f"checkpoint '{file}' is a folder; name one of its checkpoints: {inside}")
    checkpoint = checked(file, read_weight_file(file))
    # Named ones are loaded with the first configuration, which may be made later.
    known = {*loaded_files(), *(file.name for file in named_files())}
    named = [name for name in checkpoint.get("vireid", {}).get("plugins", ()) if name not in known]
    if named:
        logger.warning(
            "checkpoint '%s' was trained with --plugin %s, which is not loaded; its keys and parts may be missing",
            *(file, " --plugin ".join(map(str, named))),
        )
    return checkpoint
