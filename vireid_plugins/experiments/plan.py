"""The runs of a sweep: their names, folders and overrides, checked before the first of them starts."""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastreid.config import CfgNode

from vireid_plugins.config import get_cfg, load_config
from vireid_plugins.config.node import ABSENT, changes, flat_config
from vireid_plugins.config.overrides import paired
from vireid_plugins.config.stages import stages_of
from vireid_plugins.engine.bound_keys import FREE, SCORE
from vireid_plugins.engine.output_folder import CONFIG
from vireid_plugins.errors import ConfigError
from vireid_plugins.experiments.sweep_file import MAX_RUNS, SweepFile, Values
from vireid_plugins.io.regular import read_text

SEED, SPLIT, OUTPUT = "SEED", "DATASETS.REGDB.SPLIT", "OUTPUT_DIR"
# What a training fills in itself.
FILLED = ("MODEL.HEADS.NUM_CLASSES",)
# Characters of a folder's name; longer ones are cut and end in a digest.
LONGEST = 120


class PlannedRun(NamedTuple):
    """A run of a sweep.

    Attributes:
        name: of its folder below `output`; never digits alone, which a configuration would read as a number.
        folder: its `OUTPUT_DIR`.
        values: the values that the sweep sets, by key, with seed and split.
        words: the overrides, KEY, value, KEY, value, ...
        epochs: `SOLVER.MAX_EPOCH`.
        weights: a checkpoint that is scored; None: the run trains.
        scored: whether it has a test set.
        scoring: keys of the test that have other values than in the run that the folder holds.
    """

    name: str
    folder: Path
    values: Values
    words: list[str]
    epochs: int
    weights: Path | None = None
    scored: bool = True
    scoring: Sequence[str] = ()


def plan_runs(sweep: SweepFile, settings: Sequence[Values], overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """Return the run of every setting, seed and split, in this order.

    Args:
        sweep: the sweep.
        settings: the values of each setting by key.
        overrides: of all runs, KEY, value, ...

    Raises:
        ConfigError: a key or value is wrong, two runs are the same, or a folder holds a run of another configuration.
    """
    runs: dict[str, PlannedRun] = {}
    varied = [*dict.fromkeys(key for setting in settings for key in setting), SEED, SPLIT]
    name_of: dict[tuple[str, ...], str] = {}
    seeds: list[dict[str, int]] = [{SEED: seed} for seed in sweep.seeds] or [{}]
    splits: list[dict[str, int]] = [{SPLIT: split} for split in sweep.splits] or [{}]
    if len(settings) * len(seeds) * len(splits) > MAX_RUNS:
        raise ConfigError(f"{sweep.title}: more than {MAX_RUNS:,} runs")
    for setting in settings:
        _require_free(sweep, setting, overrides)
        for seed in seeds:
            for split in splits:
                run, cfg = _planned(sweep, {**setting, **seed, **split}, overrides)
                # 1 and 1.0 are the same value of a key, and have names of their own.
                other = name_of.setdefault(tuple(_value(cfg, run.values, key) for key in varied), run.name)
                if run.name in runs or other != run.name:
                    names = " and ".join(dict.fromkeys((other, run.name)))
                    raise ConfigError(f"{sweep.title}: two runs are the same: {names}")
                runs[run.name] = run
    return list(runs.values())


def _value(cfg: CfgNode, values: Values, key: str) -> str:
    """Return the value of a key, numbers alike if they are equal; that of the sweep if the key has another name now."""
    try:
        value = functools.reduce(getattr, key.split("."), cfg)
    except AttributeError:
        value = values.get(key)
    return repr(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _require_free(sweep: SweepFile, setting: Values, overrides: Sequence[str]) -> None:
    """Refuse keys that the sweep itself sets, and overrides of what it varies."""
    taken = {OUTPUT: "output"} | ({SEED: "seeds"} if sweep.seeds else {}) | ({SPLIT: "splits"} if sweep.splits else {})
    for key in setting:
        if key in taken:
            raise ConfigError(f"{sweep.title}: {key} is set by the entry '{taken[key]}'; remove it from the others")
    for key in paired(overrides):
        if key in taken or key in setting:
            raise ConfigError(
                f"{sweep.title}: {key} on the command line would have no effect, since the sweep sets it "
                f"({taken.get(key, 'it varies')}); change it there"
            )


def _planned(sweep: SweepFile, values: Values, overrides: Sequence[str]) -> tuple[PlannedRun, CfgNode]:
    name = run_name(values)
    folder = sweep.output / name
    varied = [word for key, value in values.items() for word in (key, str(value))]
    words = [*overrides, *varied, OUTPUT, str(folder)]
    try:
        cfg = load_config(sweep.config, words)
    except ConfigError as error:
        raise ConfigError(f"{sweep.title}: run {name}: {error}") from None
    if SPLIT in values and "RegDB" not in cfg.DATASETS.NAMES:
        raise ConfigError(f"{sweep.title}: splits are RegDB's, but {sweep.config} trains {cfg.DATASETS.NAMES}")
    scoring = _require_same(folder, cfg)
    epochs, scored = int(cfg.SOLVER.MAX_EPOCH), bool(cfg.DATASETS.TESTS)
    return PlannedRun(name, folder, values, words, epochs, scored=scored, scoring=scoring), cfg


def _require_same(folder: Path, cfg: CfgNode) -> list[str]:
    """Refuse a folder that holds a run of another configuration; its scores would be taken for this one's.

    Returns:
        keys of the test that differ, with which the same weights have other scores.
    """
    file = folder / CONFIG
    if not file.is_file():
        return []
    try:
        # The folder itself is that of the last stage.
        changed = changes(read_text(file), stages_of(cfg)[-1].dump())
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}; remove the folder, or choose another output") from None
    if any(then == ABSENT for then, _ in changed.values()):
        # Keys that came since, with a plug-in or a release, change nothing as long as they have their defaults.
        defaults = flat_config(get_cfg().dump(), "the defaults")
        changed = {k: (then, now) for k, (then, now) in changed.items() if then != ABSENT or now != defaults.get(k)}
    free = (*FREE, *FILLED, *((SEED,) if cfg.SEED < 0 else ()))
    scoring = [key for key in changed if key.startswith(free) and key.startswith(SCORE)]
    changed = {key: pair for key, pair in changed.items() if not key.startswith(free)}
    if changed:
        lines = [f"{key}: {then} -> {now}" for key, (then, now) in changed.items()]
        raise ConfigError(
            f"'{folder}' holds a run of another configuration ({', '.join(lines[:5])}); choose another output, or "
            "restore the keys"
        )
    return scoring


def run_name(values: Values) -> str:
    """Return the name of a run: `base_lr-0.1_seed-2`; `run` if nothing varies."""
    short = _short_names(values)
    parts = [f"{short[key]}-{_plain(value)}" for key, value in values.items()]
    name = "_".join(parts) or "run"
    # Letters that were replaced, or the end that is cut, may be all that tells two runs apart.
    exact = name == "_".join(f"{short[key]}-{value}" for key, value in values.items()) or not parts
    if exact and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(repr(sorted((key, str(value)) for key, value in values.items())).encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}_{digest}"


def _short_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the shortest ends of the keys that tell them apart, in lower case."""
    names: dict[str, str] = {}
    for key in values:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        alone = (end for end in ends if not any(other != key and f".{other}".endswith(f".{end}") for other in values))
        names[key] = re.sub(r"[^a-z0-9.]+", "_", next(alone, key).lower())
    return names


def _plain(value: Any) -> str:
    """Return a value as part of the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", str(value)).strip("_.") or "_"
