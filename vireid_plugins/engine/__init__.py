"""Training on fast-reid's `DefaultTrainer`: trainer, checkpoints, processes."""

from vireid_plugins.engine.checkpoint import VireidCheckpointer
from vireid_plugins.engine.launch import launch
from vireid_plugins.engine.regdb_splits import train_splits
from vireid_plugins.engine.train import Run, checkpoint_of, load_model, main, setup
from vireid_plugins.engine.trainer import Trainer

__all__ = [
    "Run",
    "Trainer",
    "VireidCheckpointer",
    "checkpoint_of",
    "launch",
    "load_model",
    "main",
    "setup",
    "train_splits",
]
