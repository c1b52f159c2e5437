"""Train fast-reid's own recipe on current PyTorch: python examples/market1501/train.py --config-file FILE.

Nothing here is visible-infrared; `patch()` is the only difference from fast-reid's `train_net.py`.
"""

import sys
from collections import OrderedDict
from typing import Any

from vireid_plugins.compat import PATCHES, patch  # isort: skip  first: it makes fastreid importable

from fastreid.config import CfgNode, get_cfg
from fastreid.data import build
from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from fastreid.utils.checkpoint import Checkpointer


def setup(args: Any) -> CfgNode:
    """Read the configuration and set up logging."""
    cfg = get_cfg()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    return cfg


def main(args: Any) -> "OrderedDict[str, Any]":
    """Train or score, and return the scores."""
    # fast-reid's published recipes were tuned with milestones counted from the end of warm-up.
    patch(only=[name for name in PATCHES if name != "schedule"])
    cfg = setup(args)
    if args.eval_only:
        model = DefaultTrainer.build_model(cfg)
        Checkpointer(model).load(cfg.MODEL.WEIGHTS)
        return OrderedDict(DefaultTrainer.test(cfg, model))
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    scores: OrderedDict[str, Any] = trainer.train()
    return scores


if __name__ == "__main__":
    arguments = default_argument_parser().parse_args()
    try:
        launch(
            main,
            arguments.num_gpus,
            num_machines=arguments.num_machines,
            machine_rank=arguments.machine_rank,
            dist_url=arguments.dist_url,
            args=(arguments,),
        )
    except RuntimeError as error:
        if not str(error).endswith("is not found"):
            raise
        sys.exit(
            f"error: {error}; set FASTREID_DATASETS to the folder that holds Market-1501-v15.09.15, now "
            f"'{build._root}', or write a synthetic one: vireid synthesize Market1501 --root datasets"
        )
