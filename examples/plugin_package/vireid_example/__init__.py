"""An attention module, a loss and a method for `vireid_plugins`, in a package of their own."""

from fastreid.config import CfgNode

from vireid_plugins.config import register_keys


def register() -> None:
    """Add the keys and register the parts; `vireid_plugins.config.get_cfg()` calls this once."""
    register_keys(add_keys)
    from vireid_example import channel_gate, modality_mean, stripes  # noqa: F401  each registers itself


def add_keys(cfg: CfgNode) -> None:
    """Add this package's keys to a configuration."""
    cfg.MODEL.ATTENTION.CHANNEL_GATE = CfgNode()
    # Width of the gate's hidden layer is C / REDUCTION.
    cfg.MODEL.ATTENTION.CHANNEL_GATE.REDUCTION = 16
    cfg.MODEL.LOSSES.MODALITY_MEAN = CfgNode()
    # Branches; empty is all.
    cfg.MODEL.LOSSES.MODALITY_MEAN.ON = []
    # Weight.
    cfg.MODEL.LOSSES.MODALITY_MEAN.SCALE = 1.0
    cfg.MODEL.STRIPES = CfgNode()
    # How many horizontal stripes have a head of their own.
    cfg.MODEL.STRIPES.COUNT = 6
