"""The seed of a run."""

import logging
import secrets
from pathlib import Path

from fastreid.config import CfgNode
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

from vireid_plugins.config import get_cfg
from vireid_plugins.engine.output_folder import CONFIG

logger = logging.getLogger("fastreid." + __name__)


def seeded(cfg: CfgNode, resume: bool = False) -> CfgNode:
    """Seed every random generator with `SEED` plus the rank of this process.

    Args:
        cfg: the configuration.
        resume: take a seed that was drawn by the run in the output folder.

    Returns:
        the configuration, or a copy with the drawn seed if `SEED` was negative: from there it also reaches sampler and
        augmentation.
    """
    if cfg.SEED < 0:
        drawn = comm.all_gather(_drawn_seed(cfg, resume))[0]
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SEED = drawn
        logger.info("Seed %d", drawn)
    # The largest seed of all has none above it.
    seed_all_rng((cfg.SEED + comm.get_rank()) % 2**32)
    return cfg


def _drawn_seed(cfg: CfgNode, resume: bool) -> int:
    """Return the seed of the run to resume, or draw one."""
    folder = Path(cfg.OUTPUT_DIR)
    # Before its last stage begins, only the earlier ones have written what they are trained with.
    for file in (folder / CONFIG, *sorted(folder.glob(f"stage*/{CONFIG}"))) if resume else ():
        if not file.is_file():
            continue
        former = get_cfg()
        former.merge_from_file(file)
        if former.SEED >= 0:
            return int(former.SEED)
    return secrets.randbelow(2**31)
