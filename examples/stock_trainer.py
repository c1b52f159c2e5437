"""Train the plug-ins with fast-reid's own trainer: python examples/stock_trainer.py --config-file FILE.

Only the loaders and the evaluator are replaced. Checkpoints, hooks, training step, schedule and AMP are fast-reid's.
"""

from collections import OrderedDict
from typing import Any

from vireid_plugins.compat import patch  # isort: skip  first: it makes fastreid importable

from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup, launch

from vireid_plugins.config import CfgNode, get_cfg
from vireid_plugins.data import build_test_loader, build_train_loader, loader_of_test_set
from vireid_plugins.evaluation import CrossModalityEvaluator, plan_test


class StockTrainer(DefaultTrainer):
    """fast-reid's trainer for two modalities."""

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """Build the loader of cross-modality batches."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Build the loader of a test set and the number of queries."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> Any:
        """Build the loader and the evaluator of a test set."""
        plan = plan_test(cfg, dataset_name)
        evaluator = CrossModalityEvaluator(cfg, plan, output_dir or cfg.OUTPUT_DIR)
        return loader_of_test_set(cfg, plan.dataset), evaluator


def main(args: Any) -> "OrderedDict[str, Any]":
    """Train and return the final scores."""
    patch()
    cfg = get_cfg()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    trainer = StockTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    scores: OrderedDict[str, Any] = trainer.train()
    return scores


if __name__ == "__main__":
    launch(main, 1, args=(default_argument_parser().parse_args(),))
