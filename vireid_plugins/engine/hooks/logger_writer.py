"""The writer that passes a run's scalars to its loggers (`LOGGERS`)."""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode
from fastreid.utils.events import EventWriter, get_event_storage

from vireid_plugins.engine.hooks.random_state import unchanged
from vireid_plugins.engine.loggers import LOGGER_REGISTRY, Logger, RunOfLogger
from vireid_plugins.errors import ConfigError, UserError
from vireid_plugins.io.files import write_json
from vireid_plugins.io.json_file import read_json

logger = logging.getLogger("fastreid." + __name__)
# In the output folder: what each logger needs to continue the run.
IDENTITIES = "loggers.json"
# Number of values of a scalar whose median is sent, as in fast-reid's writers.
WINDOW = 20


class LoggerWriter(EventWriter):
    """Sends what fast-reid's writers write to every logger; values that are not finite are left out.

    A logger that fails is a warning, and the run goes on without it. Loggers may draw random numbers; the run's are
    restored.

    Args:
        cfg: the configuration.
        resumed: continue the runs whose ids are in the output folder.

    Raises:
        ConfigError: a logger cannot be started, or the ids cannot be read or written.
    """

    def __init__(self, cfg: CfgNode, resumed: bool) -> None:
        self.loggers: dict[str, Logger] = {}
        self._last_write = -1
        file = Path(cfg.OUTPUT_DIR) / IDENTITIES
        former = _identities(file) if resumed else {}
        with unchanged():
            for name in cfg.LOGGERS:
                one: Logger = LOGGER_REGISTRY.get(name)()
                former[name] = _started(name, one, RunOfLogger(cfg, file.parent, former.get(name, {})))
                self.loggers[name] = one
        write_json(file, former)

    def write(self) -> None:
        """Send the scalars that are newer than those of the last call."""
        rows: dict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(WINDOW).items():
            if iteration > self._last_write and math.isfinite(value):
                rows[iteration][name] = float(value)
        for iteration in sorted(rows):
            self._call("log", rows[iteration], iteration)
            self._last_write = iteration

    def end(self, completed: bool) -> None:
        """Finish every logger."""
        self._call("finish", completed)
        self.loggers = {}

    def close(self) -> None:
        """Finish what `end` has not: loggers of a run that did not complete."""
        self.end(completed=False)

    def _call(self, method: str, *arguments: Any) -> None:
        with unchanged():
            for name, one in list(self.loggers.items()):
                try:
                    getattr(one, method)(*arguments)
                except Exception as error:
                    logger.warning("%s: %s; the run goes on without it", name, _said(error))
                    del self.loggers[name]


def _started(name: str, one: Logger, run: RunOfLogger) -> dict[str, Any]:
    try:
        return one.start(run)
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"LOGGERS: {name} cannot be started: {_said(error)}") from None


def _identities(file: Path) -> dict[str, Mapping[str, Any]]:
    """Return what the loggers of the resumed run returned."""
    if not file.is_file():
        return {}
    try:
        return {name: dict(one) for name, one in read_json(file).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"'{file}' cannot be read ({_said(error)}); remove it, and the loggers begin new runs"
        ) from None


def _said(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return text if len(text) < 300 else f"{text[:300]} ..."


def writers_of_loggers(cfg: CfgNode, resumed: bool) -> Sequence[EventWriter]:
    """Return the writer of `LOGGERS`, or none if the list is empty."""
    return [LoggerWriter(cfg, resumed)] if cfg.LOGGERS else []
