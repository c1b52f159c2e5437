"""What a checkpoint holds: its entries, as one table, and which of them the files of a run have."""

from typing import NamedTuple


class Entry(NamedTuple):
    """An entry of a checkpoint.

    Attributes:
        key: name of the entry in the file.
        content: what it contains.
        written_by: what saves it, and the condition if it is not always saved.
        read_by: what uses it.
        since: first release that writes it, or fast-reid if its own checkpoints have it too.
        files: the files that have it: `all` of a run, or `last` alone.
    """

    key: str
    content: str
    written_by: str
    read_by: str
    since: str
    files: str


FAST, OURS = "fast-reid", "0.1.0"
ALL, LAST_ONLY = "all", "last"
FORMAT = (
    Entry("model", "weights and buffers", "`VireidCheckpointer`", "resume, `MODEL.WEIGHTS`, conversion", FAST, ALL),
    Entry(
        "vireid", "provenance: data, split, configuration", "`VireidCheckpointer`", "resume, `MODEL.WEIGHTS`", OURS, ALL
    ),
    Entry("optimizer", "state and learning rates of the parameter groups", "the optimizer", "resume", FAST, LAST_ONLY),
    Entry("lr_sched", "position of the learning-rate schedule", "the schedule", "resume", FAST, LAST_ONLY),
    Entry("grad_scaler", "scale of the loss; empty without float16", "torch's `GradScaler`", "resume", OURS, LAST_ONLY),
    Entry("metrics", "sums of losses not yet logged; skipped steps", "`StepMetrics`", "resume", OURS, LAST_ONLY),
    Entry("random_state", "random generators of every process", "`RandomState`", "resume", OURS, LAST_ONLY),
    Entry(
        "average", "averaged weights", "`WeightAverage`, with `SOLVER.EMA_DECAY`", "resume, `MODEL.WEIGHTS`", OURS, ALL
    ),
    Entry(
        "hooks", "states of the method's own hooks, by name", "`HookStates`, if it has any", "resume", OURS, LAST_ONLY
    ),
    Entry(
        "clusters",
        "labels, memories and association of the epoch",
        "`Clustering`, if the method learns from clusters",
        "resume",
        OURS,
        LAST_ONLY,
    ),
    Entry("checkpoints", "best score so far", "`Checkpoints`", "resume", OURS, LAST_ONLY),
    Entry("writers", "history of the logged scalars; last iterations written", "`Writers`", "resume", OURS, LAST_ONLY),
    Entry("epoch", "last finished epoch, from 0; -1: none", "`Checkpoints`, `StopOnSignal`", "resume", FAST, ALL),
    Entry("iteration", "number of finished steps", "`Checkpoints`, `StopOnSignal`", "resume", OURS, ALL),
    Entry("iters_per_epoch", "steps per epoch", "`Checkpoints`, `StopOnSignal`", "resume", OURS, ALL),
    Entry(
        "metric",
        "score of the epoch on the set that picks the best",
        "`Checkpoints`, if scored",
        "the patch `resume`",
        FAST,
        ALL,
    ),
    Entry(
        "unscored",
        "the evaluation of the epoch is still to come",
        "`Checkpoints`, before it",
        "resume",
        OURS,
        LAST_ONLY,
    ),
)

# Entries of `model_final`, `model_best` and the files of single epochs: no run can be resumed from them.
OF_WEIGHTS = frozenset(entry.key for entry in FORMAT if entry.files == ALL)
