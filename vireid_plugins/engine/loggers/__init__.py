"""Loggers of other services, which a run sends its scalars to: `LOGGERS`."""

from vireid_plugins.engine.loggers import mlflow_logger as _mlflow  # noqa: F401  only registration
from vireid_plugins.engine.loggers import wandb_logger as _wandb  # noqa: F401  only registration
from vireid_plugins.engine.loggers.base import LOGGER_REGISTRY, Logger, RunOfLogger, require_loggers

__all__ = ["LOGGER_REGISTRY", "Logger", "RunOfLogger", "require_loggers"]
