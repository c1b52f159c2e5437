"""Search for the best values of keys with optuna (https://optuna.org, MIT): trials are runs of a sweep."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vireid_plugins.config import load_config
from vireid_plugins.errors import ConfigError, InstallError, require_name
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.evaluation.results import score_names
from vireid_plugins.experiments.outcomes import FAILED, FINISHED, KEPT, STOPPED, Outcome
from vireid_plugins.experiments.plan import PlannedRun, plan_runs
from vireid_plugins.experiments.runs import score_of
from vireid_plugins.experiments.sweep_file import Search, SweepFile, Values

JOURNAL = "search.journal"
# Draws of values that were tried before: so many by the sampler, then as many at random, then the search ends.
PATIENCE = 20
# Entry of a trial whose values were drawn as new ones.
TRIED = "tried"
Train = Callable[[Sequence[PlannedRun]], list[Outcome]]


def optuna() -> Any:
    """Import optuna, quietly.

    Raises:
        InstallError: it is missing; the message ends with the command that installs it.
    """
    try:
        module = importlib.import_module("optuna")
    except ImportError as error:
        raise InstallError(f"search needs optuna ({error}):", "    pip install optuna") from None
    module.logging.set_verbosity(module.logging.WARNING)
    return module


def check_search(sweep: SweepFile, overrides: Sequence[str]) -> Search:
    """Return the search of a sweep whose keys, choices, protocol and score are right.

    Raises:
        ConfigError: one of them is wrong; the first trial would tell that only after its training.
    """
    search = sweep.search
    assert search is not None
    where = f"{sweep.title}: search"
    cfg = load_config(sweep.config, list(overrides))
    scored = {one.name: one for name in cfg.DATASETS.TESTS for one in protocols_of(name, cfg.TEST.PROTOCOLS)}
    # Tables name post-processing too, the configuration the protocol alone.
    protocol = search.protocol.partition(" ")[0]
    require_name(f"{where}: protocol", protocol, scored)
    require_name(f"{where}: score", search.score, score_names(scored[protocol]))
    choices = {key: space if isinstance(space, list) else [space["low"]] for key, space in search.space.items()}
    for number in range(max(map(len, choices.values()))):
        plan_runs(sweep, [{key: str(some[number % len(some)]) for key, some in choices.items()}], overrides)
    return search


class Searcher:
    """Draws settings, trains each with every seed and split, and keeps the journal of a search in `output`.

    Trials that were running when a search was killed are continued before new ones are drawn, and no setting is
    tried twice. As many trials are drawn together as fit on the devices.

    Args:
        sweep: a sweep with a search.
        overrides: of all runs, KEY, value, ...

    Raises:
        ConfigError: a key or value is wrong, or no run would be scored under the protocol.
        InstallError: optuna is missing.
    """

    def __init__(self, sweep: SweepFile, overrides: Sequence[str]) -> None:
        self.sweep, self.search, self.overrides = sweep, check_search(sweep, overrides), overrides
        self.optuna = optuna()
        self.states = self.optuna.trial.TrialState
        slots = sweep.jobs * max(1, len(sweep.devices))
        self.together = max(1, slots // max(1, len(sweep.seeds) * len(sweep.splits)))

    def run(self, train: Train, say: Callable[[str], None]) -> list[Outcome]:
        """Run the trials that are left, and return how their runs ended.

        Args:
            train: trains the runs that are not finished, and returns how all ended, in the order given.
            say: shows a line.

        Raises:
            ConfigError: a key or value of the space is wrong, or the journal is of another space.
        """
        study = self._study()
        outcomes: list[Outcome] = []
        while trials := self._next(study):
            ended = self._try(study, trials, train)
            outcomes += ended
            if any(outcome.state == STOPPED for outcome in ended):
                return outcomes
        if completed := study.get_trials(deepcopy=False, states=[self.states.COMPLETE]):
            values = " ".join(f"{key}={value}" for key, value in study.best_params.items())
            say(f"best of {len(completed)} trials: {self.search.score} {study.best_value:.2f} with {values}")
        return outcomes

    def _study(self) -> Any:
        storages = importlib.import_module("optuna.storages")
        backend = importlib.import_module("optuna.storages.journal").JournalFileBackend
        study = self.optuna.create_study(
            storage=storages.JournalStorage(backend(str(Path(self.sweep.output) / JOURNAL))),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
        )
        study.sampler = self._sampler(study, self.search.sampler)
        return study

    def _sampler(self, study: Any, name: str) -> Any:
        # Another seed after every trial: a resumed search must not draw its first values again.
        seed = (self.search.seed + 1000 * len(study.trials)) % 2**32
        samplers = self.optuna.samplers
        return samplers.TPESampler(seed=seed) if name == "tpe" else samplers.RandomSampler(seed=seed)

    def _next(self, study: Any) -> dict[int, Values]:
        """Return the values of trials that were interrupted, else of new ones, by number; none: the search is over."""
        interrupted = {}
        for trial in study.get_trials(deepcopy=False, states=[self.states.RUNNING]):
            if trial.user_attrs.get(TRIED) and set(trial.params) == set(self.search.space):
                interrupted[trial.number] = trial.params
            else:  # killed while its values were drawn, or of another space
                study.tell(trial.number, state=self.states.FAIL)
        if interrupted:
            return interrupted
        drawn: dict[int, Values] = {}
        left = self.search.trials - sum(bool(trial.user_attrs.get(TRIED)) for trial in study.trials)
        while len(drawn) < min(left, self.together) and (new := self._draw(study)):
            drawn |= new
        return drawn

    def _draw(self, study: Any) -> dict[int, Values]:
        """Return values that no trial has had, by the number of their trial; none: they are too hard to find."""
        known = [trial.params for trial in study.trials if trial.user_attrs.get(TRIED)]
        try:
            for attempt in range(2 * PATIENCE):
                if attempt == PATIENCE:
                    study.sampler = self._sampler(study, "random")
                trial = study.ask()
                values = {key: suggest(trial, key, space) for key, space in self.search.space.items()}
                if values not in known:
                    trial.set_user_attr(TRIED, True)
                    return {trial.number: values}
                study.tell(trial, state=self.states.FAIL)
        except ValueError as error:
            raise ConfigError(
                f"sweep '{self.sweep.file}': search: {error}. '{JOURNAL}' in the output folder may be of another "
                "space: choose another output"
            ) from None
        return {}

    def _try(self, study: Any, trials: Mapping[int, Values], train: Train) -> list[Outcome]:
        """Train the runs of some trials together, and tell their scores."""
        runs: dict[int, list[PlannedRun]] = {}
        for number, values in trials.items():
            try:
                runs[number] = plan_runs(self.sweep, [values], self.overrides)
            except ConfigError:
                study.tell(number, state=self.states.FAIL)
                raise
        outcomes = train([run for planned in runs.values() for run in planned])
        of_run = {outcome.run.name: outcome.state for outcome in outcomes}
        for number, planned in runs.items():
            states = {of_run[run.name] for run in planned}
            if FAILED in states:
                study.tell(number, state=self.states.FAIL)
            elif states <= {FINISHED, KEPT}:
                scores = [score_of(run.folder, self.search.protocol, self.search.score) for run in planned]
                # optuna refuses numpy's numbers.
                study.tell(number, float(sum(scores) / len(scores)))
        return outcomes


def suggest(trial: Any, key: str, space: Any) -> Any:
    """Return the value that a trial draws for a key.

    Args:
        trial: an optuna trial.
        key: the key.
        space: a list of choices, which are drawn as text, or `{low, high}` with `log` or `step`.
    """
    if isinstance(space, list):
        return trial.suggest_categorical(key, [str(choice) for choice in space])
    low, high, step = space["low"], space["high"], space.get("step")
    log = bool(space.get("log", False))
    if all(isinstance(number, int) for number in (low, high, step or 1)):
        return trial.suggest_int(key, low, high, step=step or 1, log=log)
    return trial.suggest_float(key, low, high, step=step, log=log)
