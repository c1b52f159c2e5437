"""Which test set chooses the epoch."""

from fastreid.config import CfgNode

# The data set of SYSU-MM01's validation identities, and its protocol.
VALIDATION, VALIDATION_PROTOCOL = "SYSUMM01Val", "sysu/val/1shot"


def choose_on_validation(cfg: CfgNode) -> None:
    """Test on the validation identities first, so that they choose the epoch, where the training leaves them out.

    Where `DATASETS.SYSU.TRAIN` is `trainval`, as in every paper, nobody is left and the first test set chooses.
    """
    trained_without = cfg.DATASETS.SYSU.TRAIN == "train" and "SYSUMM01" in cfg.DATASETS.NAMES
    if trained_without and VALIDATION not in cfg.DATASETS.TESTS:
        cfg.DATASETS.TESTS = (VALIDATION, *cfg.DATASETS.TESTS)
    if VALIDATION in cfg.DATASETS.TESTS and cfg.TEST.PROTOCOLS and VALIDATION_PROTOCOL not in cfg.TEST.PROTOCOLS:
        cfg.TEST.PROTOCOLS = [VALIDATION_PROTOCOL, *cfg.TEST.PROTOCOLS]
