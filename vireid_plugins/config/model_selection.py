"""Which test set picks the best epoch."""

from fastreid.config import CfgNode

# The data set of SYSU-MM01's validation identities, and its protocol.
VALIDATION, VALIDATION_PROTOCOL = "SYSUMM01Val", "sysu/val/1shot"


def choose_on_validation(cfg: CfgNode) -> None:
    """Put the validation identities first among the test sets, so that they pick the epoch, if training excludes them.

    With `DATASETS.SYSU.TRAIN` set to `trainval`, as in every paper, no validation identities are left and the first
    test set picks the epoch.
    """
    trained_without = cfg.DATASETS.SYSU.TRAIN == "train" and "SYSUMM01" in cfg.DATASETS.NAMES
    if trained_without and VALIDATION not in cfg.DATASETS.TESTS:
        cfg.DATASETS.TESTS = (VALIDATION, *cfg.DATASETS.TESTS)
    if VALIDATION in cfg.DATASETS.TESTS and cfg.TEST.PROTOCOLS and VALIDATION_PROTOCOL not in cfg.TEST.PROTOCOLS:
        cfg.TEST.PROTOCOLS = [VALIDATION_PROTOCOL, *cfg.TEST.PROTOCOLS]
