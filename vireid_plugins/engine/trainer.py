"""fast-reid's `DefaultTrainer` for two modalities and current torch releases."""

import logging
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer, hooks
from fastreid.engine.train_loop import HookBase
from fastreid.evaluation import inference_on_dataset
from fastreid.modeling.meta_arch import build_model
from fastreid.utils import comm
from fastreid.utils.events import EventStorage, EventWriter, JSONWriter
from torch import nn

from vireid_plugins.compat.patches import broadcast_buffers
from vireid_plugins.compat.registry import patch
from vireid_plugins.config import check_config
from vireid_plugins.data import TrainLoader, build_test_loader, build_train_loader, loader_of_test_set
from vireid_plugins.engine.bound_keys import SUMMARY
from vireid_plugins.engine.checkpoint import VireidCheckpointer
from vireid_plugins.engine.finished_run import has_final_weights
from vireid_plugins.engine.hooks.checkpoints import Checkpoints
from vireid_plugins.engine.hooks.clustering import clustering_of
from vireid_plugins.engine.hooks.ema import WeightAverage
from vireid_plugins.engine.hooks.evaluations import Evaluations
from vireid_plugins.engine.hooks.layer_freeze import layer_freeze
from vireid_plugins.engine.hooks.logger_writer import writers_of_loggers
from vireid_plugins.engine.hooks.lr_schedule import LearningRate, build_lr_scheduler
from vireid_plugins.engine.hooks.method_hooks import HookStates, method_hooks
from vireid_plugins.engine.hooks.progress import Progress
from vireid_plugins.engine.hooks.random_state import RandomState
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.hooks.stop_on_signal import StopOnSignal
from vireid_plugins.engine.hooks.writers import Writers, events_writer
from vireid_plugins.engine.launch import lost_another
from vireid_plugins.engine.loggers import require_loggers
from vireid_plugins.engine.memory import explained
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.optimizer_state import OptimizerState, ScheduleState, set_position
from vireid_plugins.engine.output_folder import claim
from vireid_plugins.engine.provenance import other_score, splits_of, training_facts
from vireid_plugins.engine.requirements import plans_of, require_test_size, require_training
from vireid_plugins.engine.run_files import FINAL, LAST
from vireid_plugins.engine.scored_weights import name_final_weights, weights_of
from vireid_plugins.engine.screen import show_on_screen
from vireid_plugins.engine.seed import seeded
from vireid_plugins.engine.step import TrainingStep
from vireid_plugins.errors import ConfigError, DataError, UserError, first_line
from vireid_plugins.escape import FILE_ONLY, escape_logs
from vireid_plugins.evaluation import CrossModalityEvaluator, EvaluationPlan, plan_test
from vireid_plugins.evaluation.plan import require_test_sets
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.evaluation.provenance import UNKNOWN, ScoredWeights
from vireid_plugins.extraction import form_of, network_for
from vireid_plugins.layers.sync_batch_norm import synchronize_
from vireid_plugins.modeling.backbones.multi_stream import compile_stages
from vireid_plugins.modeling.losses.epochs import idle_phases

logger = logging.getLogger("fastreid." + __name__)
# Entries of the final weights of a run that are not in the model of the run that is resumed.
OF_THE_END = ("vireid", "epoch", "iteration", "iters_per_epoch", "metric")


class Trainer(DefaultTrainer):
    """Trains and scores the model of a configuration.

    The writers and the evaluation loop are fast-reid's. Loaders, parameter groups, schedule, step and checkpoints are
    replaced, and so is the loop, which can resume within an epoch. Nothing is written before `train`.

    Args:
        cfg: the configuration.

    Raises:
        ConfigError: a key or value is invalid; raised before anything is built.
        DataError: a data set, an image in its lists or its gallery draws are missing or malformed.
    """

    planned: ClassVar[Mapping[str, EvaluationPlan]] = {}
    scored: ClassVar[ScoredWeights] = UNKNOWN

    def __init__(self, cfg: CfgNode) -> None:
        check_config(cfg)
        require_loggers(cfg.LOGGERS)
        show_on_screen()
        cfg = seeded(cfg)
        self.plans = plans_of(cfg)
        patch(only=["ddp", "buffers", "margins"])
        dtype = getattr(torch, cfg.SOLVER.AMP.DTYPE) if cfg.SOLVER.AMP.ENABLED else None
        self.scaler = torch.amp.GradScaler(cfg.MODEL.DEVICE.split(":")[0], enabled=dtype is torch.float16)
        with warnings.catch_warnings():
            # fast-reid's AMPTrainer creates a CUDA scaler by a deprecated name; `TrainingStep` does not use it.
            warnings.filterwarnings("ignore", message=".*GradScaler")
            super().__init__(cfg)
        escape_logs()
        require_training(self.data_loader.images, self.data_loader.datasets, self.plans)
        self._trainer.grad_scaler = None
        self.take_step = TrainingStep(
            self.model,
            self.optimizer,
            dtype,
            self.scaler,
            parts=cfg.SOLVER.ACCUMULATE,
            skip_nonfinite=cfg.SOLVER.SKIP_NONFINITE > 0,
        )
        # `skipped`: the last step changed nothing, since a loss was not finite.
        self.skipped = False
        # `unscored`: the run was resumed from a checkpoint that an evaluation should have followed.
        self.first_iter, self.finished, self.unscored = 0, False, False
        # Where the run ended that is resumed, if it did: entries of its `model_final`.
        self.ended: dict[str, Any] = {}

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the model, and log its size instead of every layer."""
        model: nn.Module = build_model(cfg)
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        logger.info("%s on %s: %.2f M parameters", type(model).__name__, cfg.MODEL.DEVICE, millions)
        require_test_size(model, cfg)
        if cfg.MODEL.SYNC_BN and comm.get_world_size() > 1:
            model = synchronize_(model)
        if cfg.MODEL.COMPILE:
            compile_stages(model)
        return model

    @staticmethod
    def auto_scale_hyperparams(cfg: CfgNode, num_classes: int) -> CfgNode:
        """Return the configuration with the number of training identities, unless it is set.

        fast-reid's method also writes `config.yaml`, before anything has been checked.
        """
        scaled: CfgNode = cfg.clone()
        scaled.defrost()
        if not scaled.MODEL.HEADS.NUM_CLASSES and num_classes:
            scaled.MODEL.HEADS.NUM_CLASSES = num_classes
            logger.info("%d training identities", num_classes, extra=FILE_ONLY)
        if cfg.is_frozen():
            scaled.freeze()
        return scaled

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> TrainLoader:
        """Build the loader of `DATASETS.NAMES`."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> tuple[Any, int]:
        """Build the loader of one of `DATASETS.TESTS`, and return it with the number of queries."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> tuple[Any, Any]:
        """Build the loader and the evaluator of one of `DATASETS.TESTS`, with the plan passed to `test`, if any.

        The loader has only the images that a protocol uses, unless `TEST.SAVE_FEATURES` asks for the features of all.
        """
        plan = cls.planned.get(dataset_name) or plan_test(cfg, dataset_name)
        evaluator = CrossModalityEvaluator(cfg, plan, output_dir or cfg.OUTPUT_DIR, cls.scored)
        used = None if cfg.TEST.SAVE_FEATURES else plan.used()
        return loader_of_test_set(cfg, plan.dataset, used), evaluator

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        plans: Mapping[str, EvaluationPlan] | None = None,
        weights: ScoredWeights = UNKNOWN,
    ) -> Any:
        """Score a model on every data set of `DATASETS.TESTS`.

        Args:
            cfg: the configuration.
            model: the model.
            plans: evaluation plans by data set, which a run makes only once; by default they are made here.
            weights: what is scored, for `evaluation.json`.

        Raises:
            ConfigError: there is no test set, or a plan has other protocols than `TEST.PROTOCOLS`.
        """
        tests = require_test_sets(cfg)
        for name, plan in (plans or {}).items():
            planned, wanted = plan.protocols, protocols_of(name, cfg.TEST.PROTOCOLS)
            if planned != wanted:
                names = [", ".join(one.name for one in protocols) for protocols in (wanted, planned)]
                raise ConfigError(f"TEST.PROTOCOLS: asks for {names[0]}, but the plan of {name} has {names[1]}")
        # `build_evaluator` is given only a name, as in fast-reid.
        with_plans: Any = type(cls.__name__, (cls,), {"planned": plans or {}, "scored": weights})
        results: OrderedDict[str, Any] = OrderedDict()
        with explained(cfg, training=False):
            # Each process has gathered batch-norm statistics of its own.
            broadcast_buffers(model)
            network = network_for(cfg, model)
            for name in tests:
                loader, evaluator = with_plans.build_evaluator(cfg, name)
                # Known once the first features are there.
                evaluator.form = partial(form_of, network)
                results[name] = inference_on_dataset(network, loader, evaluator, flip_test=cfg.TEST.FLIP.ENABLED)
        return results if len(results) > 1 else next(iter(results.values()))

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> tuple[torch.optim.Optimizer, None]:
        """Return the optimizer, without a parameter wrapper."""
        return build_optimizer(cfg, model), None

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer, iters_per_epoch: int) -> dict[str, Any]:
        """Return the learning-rate schedule, whose milestones are epochs of the run."""
        return build_lr_scheduler(cfg, optimizer, iters_per_epoch)

    def build_hooks(self) -> list[HookBase]:
        """Return the hooks in the order in which they are called.

        The method's own hooks run after the losses of a step are recorded and before weights are averaged, scored or
        saved, because they may change them.
        """
        cfg, solver = self.cfg, self.cfg.SOLVER
        self.metrics = StepMetrics(solver.METRICS_PERIOD, solver.SKIP_NONFINITE, lambda: self.checkpointer.last_good())
        self.random_state = RandomState()
        self.average = WeightAverage(self.model, solver.EMA_DECAY) if solver.EMA_DECAY else None
        own = method_hooks(self.checkpointer.model, cfg)
        self.clustering = clustering_of(cfg, self.checkpointer.model, self.data_loader, self._save_stopped)
        self.evaluations = Evaluations(cfg.TEST.EVAL_PERIOD, self._evaluate_epoch, self._save_unscored)
        self.checkpointer: Any = self._build_checkpointer(own)
        ordered: list[HookBase | None] = [
            self.metrics,
            self.clustering,
            *own,
            self.average,
            hooks.IterationTimer(),
            LearningRate(self.optimizer, self.scheduler["lr_sched"]),
            self._precise_bn(),
            layer_freeze(cfg, self.model),
            Progress(solver.IMS_PER_BATCH) if comm.is_main_process() else None,
            self.evaluations,
            self.random_state,
        ]
        if comm.is_main_process():
            overridden = type(self).build_writers is not Trainer.build_writers
            self.writers = Writers(self.build_writers, Path(cfg.OUTPUT_DIR), foreign=overridden)
            self.checkpoints = Checkpoints(self.checkpointer, solver.CHECKPOINT_PERIOD, solver.CHECKPOINT_KEEP)
            self.checkpointer.checkpointables |= {"checkpoints": self.checkpoints, "writers": self.writers}
            # Write before saving: a run that dies in between loses no line.
            ordered += [self.writers, self.checkpoints]
        ordered.append(StopOnSignal(solver.METRICS_PERIOD, self._save_stopped))
        return [hook for hook in ordered if hook is not None]

    def _build_checkpointer(self, own: Sequence[HookBase]) -> VireidCheckpointer:
        """Return the replacement of fast-reid's checkpointer, which also saves what fast-reid does not."""
        fast: Any = self.checkpointer
        states = {"optimizer": OptimizerState(self.optimizer), "lr_sched": ScheduleState(self.scheduler["lr_sched"])}
        reads_identities = self.clustering is None or self.clustering.reads_identities
        checkpointer = VireidCheckpointer(
            fast.model,
            fast.save_dir,
            save_to_disk=fast.save_to_disk,
            facts=training_facts(self.cfg, self.data_loader.images, reads_identities),
            splits=splits_of(self.cfg, (*self.cfg.DATASETS.NAMES, *self.cfg.DATASETS.TESTS)),
            average=self.cfg.MODEL.WEIGHTS_AVERAGED,
            partial=self.cfg.MODEL.WEIGHTS_PARTIAL,
            **{**fast.checkpointables, **states},
            grad_scaler=self.scaler,
            metrics=self.metrics,
            random_state=self.random_state,
        )
        if self.average:
            checkpointer.checkpointables["average"] = self.average
        if self.clustering:
            checkpointer.checkpointables["clusters"] = self.clustering
        hook_states = HookStates(own)
        if hook_states.hooks:
            checkpointer.checkpointables["hooks"] = hook_states
        return checkpointer

    def build_writers(self) -> list[EventWriter]:
        """Return what scalars are written to: `metrics.json`, TensorBoard and `LOGGERS`."""
        folder = Path(self.cfg.OUTPUT_DIR)
        # First what may refuse to start.
        loggers = writers_of_loggers(self.cfg, resumed=self.checkpointer.resumed is not None)
        return [JSONWriter(str(folder / "metrics.json")), events_writer(folder), *loggers]

    def _precise_bn(self) -> HookBase | None:
        """Return fast-reid's hook for exact batch statistics, with its own loader, if `TEST.PRECISE_BN` is enabled."""
        precise = self.cfg.TEST.PRECISE_BN
        if not precise.ENABLED:
            return None
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.NUM_WORKERS, cfg.DATASETS.NAMES = 0, (precise.DATASET,)
        return hooks.PreciseBN(self.model, self.build_train_loader(cfg), precise.NUM_ITER)

    def train(self) -> "OrderedDict[str, Any] | None":
        """Train from the current position of the run and return the last scores; a finished run is only scored.

        Raises:
            ConfigError: the output folder cannot be written to, is in use, or contains a run that is not resumed.
            StoppedError: a signal stopped the run; it is saved.
        """
        folder = Path(self.cfg.OUTPUT_DIR)
        if self.finished or (self.start_epoch >= self.max_epoch and not self.unscored):
            logger.info("All %d epochs are finished; scoring only", self.max_epoch)
            if comm.is_main_process() and not has_final_weights(folder, self.start_epoch):
                # It died between the two files, or the weights were damaged since.
                self.checkpointer.save_weights(FINAL, **self.ended)
            results: OrderedDict[str, Any] = self._evaluate(weights_of(folder / f"{FINAL}.pth", folder))
            return results
        with claim(folder, resume=self.checkpointer.resumed is not None):
            self._loop()
            if comm.is_main_process():
                name_final_weights(folder)
        self.finished = True
        return getattr(self, "_last_eval_results", None) if comm.is_main_process() else None

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume from the last intact checkpoint of the output folder, or fill the model from `MODEL.WEIGHTS`, if set.

        Args:
            resume: whether to look for checkpoints in the output folder.

        Raises:
            DataError: no checkpoint can be read, or its run had different data or different keys of those that a
                checkpoint binds (`bound_keys`).
        """
        checkpoint = self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if self.checkpointer.resumed is None:
            return
        if checkpoint.get("hooks") and "hooks" not in self.checkpointer.checkpointables:
            names = ", ".join(sorted(checkpoint["hooks"]))
            raise DataError(f"checkpoint '{self.checkpointer.resumed}' has the hooks {names}, but the method has none")
        if checkpoint.get("average") and not self.average:
            raise DataError(
                f"checkpoint '{self.checkpointer.resumed}' has averaged weights, but SOLVER.EMA_DECAY is 0; resume it "
                "with its former SOLVER.EMA_DECAY"
            )
        # fast-reid's own checkpoints store only the epoch.
        self.start_epoch = checkpoint["epoch"] + 1
        self.first_iter = checkpoint.get("iteration", self.start_epoch * self.iters_per_epoch)
        self.unscored = bool(checkpoint.get("unscored"))
        self.ended = {key: value for key, value in checkpoint.items() if key in OF_THE_END}
        steps = checkpoint.get("iters_per_epoch", self.iters_per_epoch)
        if steps != self.iters_per_epoch:
            self._change_steps(steps)
        set_position(self.scheduler["lr_sched"], self.first_iter)
        facts = self.checkpointer.facts
        changed = other_score(str(self.checkpointer.resumed), checkpoint.get("vireid", {}), facts)
        goes_on = self.start_epoch < self.max_epoch or self.unscored
        if comm.is_main_process() and goes_on and changed and self.checkpoints.best_metric >= 0:
            logger.warning(
                "the best score so far, %.2f, cannot be compared with those of other keys: %s; the next evaluation "
                "replaces model_best.pth",
                *(self.checkpoints.best_metric, ", ".join(changed)),
            )
            self.checkpoints.best_metric = -1

    def _change_steps(self, steps: int) -> None:
        """Move to the first iteration of the next epoch, of a run whose epochs had another number of steps.

        Raises:
            DataError: the run is within an epoch.
        """
        if self.first_iter % steps:
            raise DataError(
                f"checkpoint '{self.checkpointer.resumed}' is at step {self.first_iter % steps} of an epoch of {steps} "
                f"steps, but an epoch now has {self.iters_per_epoch}; resume it with its former "
                f"{self.data_loader.sampler.length}"
            )
        self.first_iter = self.start_epoch * self.iters_per_epoch

    def _loop(self) -> None:
        """Run the remaining epochs; fast-reid's loop cannot start within an epoch, and scores even after an error."""
        first, steps = self.first_iter, self.iters_per_epoch
        logger.info(SUMMARY, extra=FILE_ONLY)
        where = f"epoch {first // steps + 1}" + (f", step {first % steps + 1}" if first % steps else "")
        logger.info("Starting training from %s; %d epochs of %d steps", where, self.max_epoch, steps)
        for line in idle_phases(self.cfg):
            logger.warning("%s", line)
        self.iter = self.start_iter = first
        # The batches of an epoch may depend on what is done before it.
        ends = self.data_loader.sampler.ends
        if not ends:
            self._start_batches()
        with EventStorage(first) as self.storage:
            try:
                self.before_train()
                if states := self.checkpointer.checkpointables.get("hooks"):
                    # Raises now, and not at the first checkpoint, if a state cannot be saved.
                    states.state_dict()
                self.random_state.restore()
                if self.unscored:
                    self._finish_epoch(first // steps - 1)
                for epoch in range(first // steps, self.max_epoch):
                    self.epoch = self.storage.epoch = epoch
                    # Once per epoch of the run, so not when it was resumed within the epoch.
                    if self.iter == epoch * steps:
                        self.before_epoch()
                    if ends:
                        self._start_batches()
                    while self.iter < (epoch + 1) * steps:
                        self.before_step()
                        self.run_step()
                        self.after_step()
                        self.iter += 1
                    if ends:
                        self._trainer._data_loader_iter.close()
                    self.after_epoch()
            except BaseException as error:
                if lost_another(error):
                    logger.error("Another process of the run has ended: %s", first_line(error))
                elif not isinstance(error, UserError | KeyboardInterrupt):
                    logger.exception("Exception during training:")
                # fast-reid's hooks would treat a failed last epoch as completed.
                self.epoch = -1
                self._after_failure()
                raise
            else:
                self.after_train()
            finally:
                # End the loader's processes now instead of when they are garbage-collected.
                self._trainer._data_loader_iter.close()

    def _start_batches(self) -> None:
        """Load batches from the current step on."""
        self._trainer._data_loader_iter = self.data_loader.starting_at(self.iter)

    def _after_failure(self) -> None:
        """Let the hooks close what they opened; an error of theirs must not hide the one that ended the run."""
        for hook in self._hooks:
            try:
                hook.after_train()
            except Exception as error:
                logger.warning("%s could not end after the error: %s", type(hook).__name__, error)

    def _finish_epoch(self, epoch: int) -> None:
        """Do what is left of an epoch that was saved before its evaluation."""
        logger.info("Epoch %d was saved but not scored; scoring it", epoch + 1)
        self.epoch = self.storage.epoch = epoch
        # As after the last step of the epoch, which is when the scores are recorded.
        self.storage.iter = self.iter - 1
        for hook in self._hooks[self._hooks.index(self.evaluations) :]:
            hook.after_epoch()
        self.unscored = False

    def _save_unscored(self) -> None:
        """Save the run before an evaluation, if there is one, whatever may end it."""
        if not self.plans:
            return
        self.random_state.capture()
        if not comm.is_main_process():
            return
        try:
            self.checkpoints.save_unscored()
        except UserError:
            # The losses of the epoch are shown at least.
            with suppress(UserError):
                self.writers.after_epoch()
            raise

    def _save_stopped(self, done: int) -> str:
        """Save the run after `done` steps, and return a sentence with the path."""
        self.random_state.capture()
        self.metrics.capture()
        self.checkpointer.save(
            LAST, epoch=done // self.iters_per_epoch - 1, iteration=done, iters_per_epoch=self.iters_per_epoch
        )
        return f"saved as '{Path(self.checkpointer.save_dir) / LAST}.pth'"

    def best(self) -> str:
        """Return a sentence on the best evaluation, on the main process; empty if there was none since the resume."""
        said: str = self.checkpoints.said
        return f"Metric (mean of rank-1 and mAP) in percent: {said}." if said else ""

    def run_step(self) -> None:
        """Take one step and record its losses."""
        with explained(self.cfg, training=True, last_good=self.checkpointer.last_good):
            result = self.take_step(self._trainer._data_loader_iter)
            self.skipped = result.skipped
            self.metrics.record(result)

    def _evaluate_epoch(self) -> Any:
        """Score the weights after an epoch, before they are saved as its checkpoint."""
        return self._evaluate(ScoredWeights(epoch=self.epoch + 1, seed=self.cfg.SEED))

    def _evaluate(self, weights: ScoredWeights) -> Any:
        """Score the moving average of the weights if there is one, else the weights; nothing without a test set."""
        if not self.plans:
            return {}
        cfg = self.cfg
        if cfg.TEST.COMPARE_RANDOM and 0 <= getattr(self, "epoch", -1) < self.max_epoch - 1:
            # Random features score the same each time: once, with the last epoch.
            cfg = cfg.clone()
            cfg.defrost()
            cfg.TEST.COMPARE_RANDOM = False
        model = self.average.model if self.average else self.model
        self._last_eval_results = self.test(cfg, model, self.plans, weights)
        return self._last_eval_results
