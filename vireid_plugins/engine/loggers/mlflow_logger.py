"""MLflow: its local store, or the server that `MLFLOW_TRACKING_URI` names."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from fastreid.config import CfgNode

from vireid_plugins.config import get_cfg
from vireid_plugins.config.keys import flat
from vireid_plugins.engine.loggers.base import LOGGER_REGISTRY, Logger, RunOfLogger
from vireid_plugins.errors import first_line

logger = logging.getLogger("fastreid." + __name__)
EXPERIMENT = "vireid"
# MLflow cuts longer parameters, and takes this many at once. The whole configuration is an artifact.
LONGEST, MOST = 500, 100
# What MLflow refuses in the name of a metric, such as TPIR@FPIR=1%.
_WORDS = str.maketrans({"@": " at ", "=": " ", "%": " percent"})


@LOGGER_REGISTRY.register()
class Mlflow(Logger):
    """Logs to MLflow; `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` apply.

    Without them that is its local store, `mlflow.db` in the current folder, which `mlflow ui` shows. A resumed run
    continues the same run of MLflow.
    """

    package: ClassVar[str] = "mlflow"

    def start(self, run: RunOfLogger) -> dict[str, Any]:
        """Begin a run with the configuration as an artifact and what it changes as parameters, or continue one."""
        mlflow = self.module()
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or run.former.get("tracking_uri") or mlflow.get_tracking_uri()
        self.metric = mlflow.entities.Metric
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.id = self._continued(mlflow, run.former.get("run_id")) or self._begun(mlflow, run)
        logger.info("mlflow: run %s in %s", self.id, uri if _is_local(uri) else "the server of MLFLOW_TRACKING_URI")
        return {"run_id": self.id, **({"tracking_uri": uri} if _is_local(uri) else {})}

    def _continued(self, mlflow: Any, former: str | None) -> str:
        """Return the former run, which then runs again; an empty text if there is none."""
        if former is None:
            return ""
        try:
            self.client.update_run(former, status="RUNNING")
        except mlflow.exceptions.MlflowException as error:
            logger.warning("mlflow: run %s cannot be continued (%s); beginning another", former, first_line(error))
            return ""
        return former

    def _begun(self, mlflow: Any, run: RunOfLogger) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        begun: str = self.client.create_run(experiment, run_name=run.title).info.run_id
        # Once: a changed parameter is refused when a run is resumed.
        parameters = [mlflow.entities.Param(key, value) for key, value in changed(run.cfg).items()]
        for first in range(0, len(parameters), MOST):
            self.client.log_batch(begun, params=parameters[first : first + MOST])
        self.client.log_text(begun, run.cfg.dump(), "config.yaml")
        return begun

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Log scalars of an iteration."""
        now = int(time.time() * 1000)
        metrics = [self.metric(metric_name(key), one, now, iteration) for key, one in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def finish(self, completed: bool) -> None:
        """End the run, as killed unless it is completed."""
        self.client.set_terminated(self.id, status="FINISHED" if completed else "KILLED")


def metric_name(name: str) -> str:
    """Return the name of a scalar as MLflow accepts it: `TPIR at FPIR 1 percent` for `TPIR@FPIR=1%`."""
    return name.translate(_WORDS)


def changed(cfg: CfgNode) -> dict[str, str]:
    """Return the keys whose values are not the defaults, as texts that MLflow does not cut."""
    defaults = flat(get_cfg())
    return {key: str(value)[:LONGEST] for key, value in flat(cfg).items() if value != defaults.get(key)}


def _is_local(uri: str) -> bool:
    """Return whether a store is a file or a folder; an address of a server may hold a password."""
    return uri.startswith(("sqlite:", "file:", "/", ".")) or "://" not in uri
