"""The contract of a logger, and the registry whose names `LOGGERS` takes."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fastreid.config import CfgNode
from fastreid.utils.registry import Registry

from vireid_plugins.config.check import registered
from vireid_plugins.config.keys import snake_case
from vireid_plugins.errors import ConfigError, InstallError, first_line, require_name


@dataclass(frozen=True)
class RunOfLogger:
    """What a logger is told about a run.

    Attributes:
        cfg: its configuration.
        folder: its output folder.
        former: what `Logger.start` returned when the run was started, if it is resumed; else empty.
    """

    cfg: CfgNode
    folder: Path
    former: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Name of the run: that of its output folder."""
        return self.folder.resolve().name


class Logger:
    """Sends the scalars of a run elsewhere; the base class of what `LOGGER_REGISTRY` holds.

    Only the main process has loggers. One is built without arguments, then `start` is called, then `log` for every
    iteration that is written, and in the end `finish`. An error in `start` ends the run before it trains; an error
    later is a warning, and the run goes on without the logger.

    Attributes:
        package: the module that it needs, and the name of the extra that installs it; empty: none.
    """

    package: ClassVar[str] = ""

    @classmethod
    def module(cls) -> Any:
        """Import `package`.

        Raises:
            InstallError: it is missing or broken; the message names the extra.
        """
        try:
            return importlib.import_module(cls.package)
        except Exception as error:
            raise InstallError(
                f"LOGGERS: {cls.package} needs a package that cannot be imported ({first_line(error)}):",
                f"    pip install 'vireid_plugins[{cls.package}]'",
            ) from None

    def start(self, run: RunOfLogger) -> dict[str, Any]:
        """Begin, or continue `run.former`.

        Returns:
            what it needs to continue the run after a resume, as JSON values; it is kept in the output folder.
        """
        raise NotImplementedError

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Log scalars.

        Args:
            values: finite numbers by name, such as `total_loss` or `sysu/official/all/1shot/mAP`.
            iteration: iteration of the run, from 0. After a resume it may be one that was logged before.
        """
        raise NotImplementedError

    def finish(self, completed: bool) -> None:
        """End.

        Args:
            completed: whether the run has reached its last epoch; else it was stopped or failed, and may be resumed.
        """


class LoggerRegistry(Registry):
    """Registers subclasses of `Logger` under their names in snake case: `CsvTable` is `csv_table` in `LOGGERS`."""

    def _do_register(self, name: str, obj: object) -> None:
        if not (isinstance(obj, type) and issubclass(obj, Logger)):
            raise ConfigError(f"{self._name} registry: '{name}' must be a subclass of Logger")
        if snake_case(name) in self._obj_map:
            raise ConfigError(
                f"{self._name} registry: '{snake_case(name)}' is registered already; give the class another name"
            )
        super()._do_register(snake_case(name), obj)


LOGGER_REGISTRY = LoggerRegistry("LOGGER")


def require_loggers(names: Iterable[str]) -> None:
    """Check the names in `LOGGERS`, and import the packages that they need.

    Raises:
        ConfigError: a name is unknown or there twice.
        InstallError: a package is missing.
    """
    names = list(names)
    for name in names:
        require_name("LOGGERS", name, registered(LOGGER_REGISTRY))
        if names.count(name) > 1:
            raise ConfigError(f"LOGGERS: '{name}' is there twice")
        kind: type[Logger] = LOGGER_REGISTRY.get(name)
        if kind.package:
            kind.module()
