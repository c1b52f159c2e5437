"""All methods on one data set: train them or take given weights, and put accuracy and cost into one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fastreid.config import CfgNode

from vireid_plugins.config import load_config
from vireid_plugins.config.overrides import paired
from vireid_plugins.config.paths import shipped_configs
from vireid_plugins.data.datasets import build_dataset
from vireid_plugins.engine.output_folder import claim
from vireid_plugins.engine.requirements import require_run
from vireid_plugins.engine.runs import find_weights
from vireid_plugins.engine.train import load_model
from vireid_plugins.errors import ConfigError, DataError, LaunchError, StoppedError, require_name
from vireid_plugins.evaluation.protocols import require_protocols
from vireid_plugins.experiments.fitted_schedule import EPOCHS, fitted
from vireid_plugins.experiments.local import LocalExecutor
from vireid_plugins.experiments.outcomes import STOPPED, Outcome
from vireid_plugins.experiments.plan import SEED, PlannedRun, plan_runs
from vireid_plugins.experiments.sweep import Say, require_success, run_unfinished
from vireid_plugins.experiments.sweep_file import SweepFile
from vireid_plugins.experiments.zoo_table import Entry, entry_of, write_tables

# The folder of configs for images of one's own.
OWN = "own"


class Method(NamedTuple):
    """A method of a zoo.

    Attributes:
        name: its name.
        config: its configuration with all overrides.
        file: the configuration file, or the name of a shipped one.
        runs: its runs.
    """

    name: str
    config: CfgNode
    file: str
    runs: list[PlannedRun]


class Zoo(NamedTuple):
    """What a zoo is asked for.

    Attributes:
        dataset: a folder of shipped configs, or one of images of one's own.
        methods: names of methods, or configuration files; empty: all that the data set has.
        epochs: of every training; 0: those of each recipe.
        seeds: number of seeds.
        weights: checkpoints or runs that are scored instead of trained, by method.
        output: folder of the runs and the table.
        overrides: of all runs, KEY, value, ...
    """

    dataset: str
    methods: Sequence[str] = ()
    epochs: int = 0
    seeds: int = 3
    weights: Mapping[str, Sequence[str]] = {}
    output: Path | None = None
    overrides: Sequence[str] = ()


def run_zoo(zoo: Zoo, say: Say) -> list[Entry]:
    """Run what is not finished, one run after the other, since their times are compared, and write the tables.

    The tables are written after every method; a method that fails stops no other. The same call continues.

    Raises:
        ConfigError: a name, key or value is wrong, or another zoo runs in the output folder; nothing has run.
        DataError: the data set is missing or malformed, or weights cannot be read; nothing has run.
        LaunchError: runs failed, or the cost of a network could not be measured.
        StoppedError: a signal stopped the zoo.
    """
    output = output_of(zoo)
    methods = planned(zoo)
    entries: list[Entry] = []
    outcomes: list[Outcome] = []
    with claim(output, resume=True):
        for method in methods:
            say(f"{method.name}: {len(method.runs)} {'run' if len(method.runs) == 1 else 'runs'}")
            executor = LocalExecutor(method.file)
            ended = run_unfinished(executor, method.runs, lambda line: say(f"  {line}"))
            outcomes += ended
            # A signal may have come when the last run had just ended.
            stopped = executor.stopping or any(outcome.state == STOPPED for outcome in ended)
            entries.append(entry_of(method.name, method.config, ended, output / method.name, measure=not stopped))
            write_tables(output, entries)
            if stopped:
                raise StoppedError("the zoo was stopped; the same command continues it")
    require_success(outcomes)
    if broken := [f"  {entry.method}: {entry.error}" for entry in entries if entry.error]:
        raise LaunchError("what these methods cost could not be measured, or their scores could not be read:", *broken)
    return entries


def output_of(zoo: Zoo) -> Path:
    """Return the folder of the runs and the table; that of images of one's own is called like theirs."""
    name = Path(zoo.dataset).resolve().name or OWN
    return zoo.output or Path("logs/zoo") / name


def planned(zoo: Zoo) -> list[Method]:
    """Return the methods of a zoo with their runs, all of them checked.

    Raises:
        ConfigError: a name, key or value is wrong, weights are missing, or a folder holds another run.
        DataError: the data set is missing or malformed, or weights cannot be read.
    """
    folder, overrides = _folder_and_overrides(zoo)
    files = _files(zoo, folder)
    if unknown := [name for name in zoo.weights if name not in files]:
        require_name("--weights", unknown[0], files)
    if zoo.epochs and EPOCHS in paired(overrides):
        raise ConfigError(f"{EPOCHS}: --epochs {zoo.epochs} sets it; leave one of them out")
    loaded = {name: _loaded(file, overrides) for name, file in files.items()}
    unscored = [name for name, cfg in loaded.items() if not cfg.DATASETS.TESTS]
    if named := [name for name in unscored if zoo.methods or name in zoo.weights]:
        raise ConfigError(
            f"{'--weights' if named[0] in zoo.weights else '--methods'}: '{named[0]}' learns without labels and has "
            "nothing to score (DATASETS.TESTS is empty); score its run with `vireid evaluate RUN --on NAME`, see "
            "docs/unsupervised.md"
        )
    files = {name: file for name, file in files.items() if name not in unscored}
    weights = {name: _weights(name, words) for name, words in zoo.weights.items()}
    protocols = {name: _names(cfg) for name, cfg in loaded.items()}
    common = dict.fromkeys(name for names in protocols.values() for name in names)
    methods = []
    for name, file in files.items():
        # A method's own first: its first one chooses the best epoch.
        alike = ["TEST.PROTOCOLS", str([*protocols[name], *(one for one in common if one not in protocols[name])])]
        if zoo.epochs and name not in weights:
            alike += fitted(loaded[name], zoo.epochs, paired(overrides))
        methods.append(_method(zoo, name, file, [*alike, *overrides], weights.get(name, [])))
    identities = _identities(methods[0].config)
    for method in methods:
        # The size of a network includes its classifier.
        method.config.defrost()
        method.config.MODEL.HEADS.NUM_CLASSES = method.config.MODEL.HEADS.NUM_CLASSES or identities
        if method.name in weights:
            _require_weights(method)
        else:
            _require_run(method)
    return methods


def _require_weights(method: Method) -> None:
    """Raise an error if a method cannot be filled from its weights; now, and not after others have trained for days."""
    cfg = method.config.clone()
    cfg.MODEL.DEVICE = "cpu"
    for run in method.runs:
        cfg.MODEL.WEIGHTS = str(run.weights)
        try:
            load_model(cfg)
        except (ConfigError, DataError) as error:
            raise type(error)(f"--weights {method.name}={run.weights}: {error}") from None


def _require_run(method: Method) -> None:
    """Raise a `ConfigError` that names the file if a method cannot be trained."""
    try:
        require_run(method.config)
    except ConfigError as error:
        raise ConfigError(f"zoo '{method.file}': {error}") from None


def _names(cfg: CfgNode) -> list[str]:
    return [protocol.name for protocol in require_protocols(cfg.TEST.PROTOCOLS)]


def _identities(cfg: CfgNode) -> int:
    """Return the number of training identities; the lists of all data sets are read.

    Raises:
        DataError: a data set is missing or malformed.
    """
    names = dict.fromkeys((*cfg.DATASETS.NAMES, *cfg.DATASETS.TESTS))
    built = {name: build_dataset(cfg, name) for name in names}
    return sum(built[name].get_num_pids(built[name].train) for name in cfg.DATASETS.NAMES)


def _folder_and_overrides(zoo: Zoo) -> tuple[str, list[str]]:
    """Return the folder of configs that DATASET names, and the overrides that it brings with the given ones."""
    folders = shipped_configs()
    if zoo.dataset in folders:
        return zoo.dataset, [*zoo.overrides]
    if not zoo.dataset or not Path(zoo.dataset).is_dir():
        require_name("DATASET", zoo.dataset, folders, "; or a folder of images of your own, see docs/data.md")
    return OWN, ["DATASETS.OWN.ROOT", zoo.dataset, *zoo.overrides]


def _files(zoo: Zoo, folder: str) -> dict[str, str]:
    """Return the configuration file of every method, or the name of a shipped one, by the method's name."""
    known = shipped_configs()[folder]
    files: dict[str, str] = {}
    for word in zoo.methods or _whole(known):
        own = word.endswith((".yml", ".yaml"))
        if not own:
            require_name("--methods", word, known, "; or a configuration file")
        name = Path(word).stem if own else word
        if name in files:
            raise ConfigError(f"--methods: '{name}' is given twice")
        files[name] = word if own else f"{folder}/{name}.yml"
    return files


def _whole(known: Sequence[str]) -> list[str]:
    """Return the names without stages of other methods: `adca_stage1` is a part of `adca`."""
    return [name for name in known if name.partition("_stage")[0] not in known or "_stage" not in name]


def _weights(method: str, words: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for word in words:
        try:
            file = find_weights(word).resolve()
        except ConfigError as error:
            raise ConfigError(f"--weights {method}={word}: {error}") from None
        if file in files:
            # The table would say that its scores do not deviate.
            raise ConfigError(
                f"--weights {method}={word}: '{file}' is given twice, and files count as seeds; leave one out"
            )
        files.append(file)
    return files


def _method(zoo: Zoo, name: str, file: str, words: Sequence[str], weights: Sequence[Path]) -> Method:
    # Several files of weights are told apart as seeds are.
    settings = [{"MODEL.WEIGHTS": str(one), SEED: number} for number, one in enumerate(weights)] or [{}]
    seeds = () if weights else range(zoo.seeds)
    sweep = SweepFile(Path(file), file, output_of(zoo) / name, settings, seeds, kind="zoo")
    runs = plan_runs(sweep, settings, words)
    if weights:
        runs = [run._replace(weights=one) for run, one in zip(runs, weights, strict=True)]
    return Method(name, _loaded(file, words), file, runs)


def _loaded(file: str, words: Sequence[str]) -> CfgNode:
    try:
        return load_config(file, words)
    except ConfigError as error:
        raise ConfigError(f"zoo '{file}': {error}") from None
