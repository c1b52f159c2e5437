"""What a run says at its end: how it went, what it has written, and which commands come next."""

import shlex
from pathlib import Path

from vireid_plugins.config.plugin_files import named_files
from vireid_plugins.engine.output_folder import CONFIG
from vireid_plugins.engine.run_files import BEST, FINAL, LAST

# What a run writes, in the order of the summary.
FILES = {
    f"{FINAL}.pth": "the weights of the last epoch",
    f"{BEST}.pth": "those of the best epoch, chosen on {chosen_on}",
    f"{LAST}.pth": "what --resume continues from, with a larger SOLVER.MAX_EPOCH too",
    "evaluation*.json": "every score of every trial",
    "evaluation*_queries.npz": "the AP of every query, which vireid compare reads",
    "features_*.npz": "the features of the last evaluation",
    "metrics.json": "losses, learning rates and scores by iteration, also for TensorBoard in events.out.tfevents...",
    CONFIG: "everything needed to repeat the run",
    "log.txt": "what was said, and the environment",
}
# Without a test set.
UNSCORED = (
    "vireid search{plugins} index IMAGES --index people.index --model {run}",
    "vireid visualize{plugins} training {run}",
)
# Options of a verb come before what it is about.
NEXT = ("vireid evaluate{plugins} {run}", "vireid visualize{plugins} rank {run}", "vireid report{plugins} {run}")


def closing(
    folder: Path, chosen_on: str, best: str = "", begin: str = "The run is complete.", scored: bool = True
) -> str:
    """Return the closing summary of a run as lines.

    Args:
        folder: the output folder; what it does not hold is not named.
        chosen_on: the set on which `model_best` was chosen.
        best: a sentence on the best epoch; empty: none.
        begin: the first sentence.
        scored: whether it has a test set.
    """
    rows = [
        (file.name, about.format(chosen_on=chosen_on))
        for name, about in FILES.items()
        for file in sorted(folder.glob(name))
    ]
    wide = max((len(name) for name, _ in rows), default=0)
    run = shlex.quote(str(folder))
    plugins = "".join(f" --plugin {shlex.quote(_from_here(file))}" for file in named_files())
    lines = [begin, *([best] if best else []), f"Written to {folder}:"]
    lines += [f"  {name:{wide}}  {about}" for name, about in rows]
    commands = NEXT if scored else UNSCORED
    return "\n".join([*lines, "Next:", *(f"  {command.format(run=run, plugins=plugins)}" for command in commands)])


def _from_here(file: Path) -> str:
    """Return a path as short as a command that is typed here may have it."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
