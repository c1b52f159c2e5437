"""The YAML of a sweep: which configuration, what varies, where the runs go, and how many run at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vireid_plugins.config.path_keys import expanded
from vireid_plugins.data.datasets.regdb import RegDB
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.io.regular import read_text
from vireid_plugins.io.strict_yaml import MAX_BYTES, StrictYamlError, parse_yaml

EXECUTORS = ("local", "slurm")
# Most runs of one sweep.
MAX_RUNS = 10_000
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Search:
    """A search for the best values with optuna.

    Attributes:
        trials: number of settings to try.
        space: for each key the choices, or `{low, high}` with `log` or `step`.
        protocol: name of the protocol whose score counts.
        score: `mAP`, `mINP`, `Rank-1`, ...
        sampler: `tpe` or `random`.
        seed: of the sampler.
    """

    trials: int
    space: Mapping[str, Any]
    protocol: str
    score: str = "mAP"
    sampler: str = "tpe"
    seed: int = 0


@dataclass(frozen=True)
class SweepFile:
    """What a sweep runs.

    Attributes:
        file: the file, for messages.
        config: a configuration file or the name of a shipped one.
        output: folder of the runs.
        settings: the values of each setting by key; one empty setting if only seeds or splits vary.
        seeds: values of `SEED`; empty: that of the configuration.
        splits: RegDB splits; empty: that of the configuration.
        jobs: runs at a time, per device if `devices` are given.
        devices: numbers or names of CUDA devices; empty: what each run finds.
        executor: `local` or `slurm`.
        slurm: parameters of submitit.
        search: a search in place of fixed settings.
        kind: what it is, for messages.
    """

    file: Path
    config: str
    output: Path
    settings: Sequence[Values] = ({},)
    seeds: Sequence[int] = ()
    splits: Sequence[int] = ()
    jobs: int = 1
    devices: Sequence[str] = ()
    executor: str = "local"
    slurm: Values = field(default_factory=dict)
    search: Search | None = None
    kind: str = "sweep"

    @property
    def title(self) -> str:
        """Its kind and file, as messages begin."""
        return f"{self.kind} '{self.file}'"


KEYS = ("config", "output", "grid", "runs", "seeds", "splits", "jobs", "devices", "executor", "slurm", "search")
SEARCH_KEYS = ("trials", "space", "protocol", "score", "sampler", "seed")


def read_sweep(file: Path) -> SweepFile:
    """Read the YAML of a sweep.

    Raises:
        ConfigError: it cannot be read, or an entry is missing, unknown or wrong.
    """
    try:
        value = parse_yaml(read_text(file, MAX_BYTES)).value
    except OSError as error:
        raise ConfigError(f"sweep '{file}' cannot be read: {error.strerror or error}") from None
    except (StrictYamlError, UnicodeDecodeError) as error:
        raise ConfigError(f"sweep '{file}': {error}") from None
    return _Reader(file, _mapping(file, "the file", value, KEYS)).sweep()


def _mapping(file: Path, what: str, value: Any, known: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"sweep '{file}': {what} must hold keys and values; got {_shown(value)}")
    for key in value if known else ():
        require_name(f"sweep '{file}': {what}", key, known)
    return value


def _shown(value: Any) -> str:
    return f"{value!r:.80}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class _Reader:
    """Checks the entries of one file.

    Args:
        file: the file, for messages.
        content: its entries.
    """

    def __init__(self, file: Path, content: dict[str, Any]) -> None:
        self.file, self.content = file, content

    def sweep(self) -> SweepFile:
        if several := [key for key in ("grid", "runs", "search") if key in self.content]:
            self._require(len(several) == 1, f"has {' and '.join(several)}; keep one of them")
        executor = self.content.get("executor", "local")
        require_name(f"sweep '{self.file}': executor", executor, EXECUTORS)
        self._require("slurm" not in self.content or executor == "slurm", "slurm: set executor: slurm as well")
        return SweepFile(
            self.file,
            self._text("config"),
            Path(expanded(self._text("output"), f"sweep '{self.file}': output")),
            self._settings(),
            self._numbers("seeds", range(2**32)),
            self._numbers("splits", RegDB.splits),
            self._count("jobs", self.content.get("jobs", 1)),
            [str(device) for device in self._list("devices", str | int)],
            executor,
            _mapping(self.file, "slurm", self.content.get("slurm", {})),
            self._search(),
        )

    def _require(self, right: bool, wrong: str) -> None:
        if not right:
            raise ConfigError(f"sweep '{self.file}': {wrong}")

    def _text(self, key: str) -> str:
        value = self.content.get(key)
        self._require(isinstance(value, str) and bool(value), f"{key} is missing, or is no text: {_shown(value)}")
        return str(value)

    def _count(self, key: str, value: Any) -> int:
        right = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        self._require(right, f"{key} must be a whole number of at least 1; got {_shown(value)}")
        return int(value)

    def _list(self, key: str, kind: Any) -> list[Any]:
        value = self.content.get(key, [])
        right = isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)
        self._require(
            right and len(set(value)) == len(value), f"{key} must be a list of different values; {_shown(value)}"
        )
        self._require(bool(value) or key not in self.content, f"{key} is empty; leave it out")
        return list(value)

    def _numbers(self, key: str, allowed: Sequence[int]) -> list[int]:
        numbers = self._list(key, int)
        wrong = [number for number in numbers if number not in allowed]
        self._require(not wrong, f"{key}: {wrong[:1]} is not between {allowed[0]} and {allowed[-1]}")
        return numbers

    def _settings(self) -> list[Values]:
        if "runs" in self.content:
            runs = self.content["runs"]
            self._require(isinstance(runs, list) and bool(runs), "runs must be a list of {KEY: value}")
            return [_mapping(self.file, f"entry {number} of runs", run) for number, run in enumerate(runs, 1)]
        grid = _mapping(self.file, "grid", self.content.get("grid", {}))
        settings: list[dict[str, Any]] = [{}]
        for key, values in grid.items():
            right = isinstance(values, list) and bool(values)
            self._require(right, f"grid: {key} must have a list of values; got {_shown(values)}")
            settings = [{**setting, key: value} for setting in settings for value in values]
            self._require(len(settings) <= MAX_RUNS, f"grid: more than {MAX_RUNS:,} settings")
        return [*settings]

    def _search(self) -> Search | None:
        if "search" not in self.content:
            return None
        found = _mapping(self.file, "search", self.content["search"], SEARCH_KEYS)
        for key in ("trials", "space", "protocol"):
            self._require(key in found, f"search: {key} is missing")
        space = _mapping(self.file, "search: space", found["space"])
        self._require(bool(space), "search: space is empty")
        for key, values in space.items():
            self._require_values(key, values)
        search = Search(**{**found, "trials": self._count("search: trials", found["trials"])})
        for key, text in (("protocol", search.protocol), ("score", search.score)):
            self._require(isinstance(text, str), f"search: {key} must be a name; got {_shown(text)}")
        right = isinstance(search.seed, int) and not isinstance(search.seed, bool) and 0 <= search.seed < 2**32
        self._require(right, f"search: seed must be a whole number of at least 0; got {_shown(search.seed)}")
        require_name(f"sweep '{self.file}': search: sampler", search.sampler, ("tpe", "random"))
        return search

    def _require_values(self, key: str, values: Any) -> None:
        """Check what a search draws the values of a key from."""
        if isinstance(values, list) and values:
            return
        bounds = values if isinstance(values, dict) else {}
        numbers = [bounds[name] for name in ("low", "high") if _is_number(bounds.get(name))]
        known = set(bounds) <= {"low", "high", "log", "step"} and not {"log", "step"} <= set(bounds)
        log, step = bounds.get("log", False), bounds.get("step", 1)
        right = len(numbers) == 2 and numbers[0] < numbers[1] and _is_number(step) and step > 0
        self._require(
            known and right and isinstance(log, bool) and (not log or numbers[0] > 0),
            f"search: {key} must be a list of choices or {{low: 0.01, high: 1.0}}, with log: true, where low is above "
            f"0, or step: 0.1; got {_shown(values)}",
        )
