"""An attention module, a loss and a method for `vireid_plugins`, in a package of their own."""


def register() -> None:
    """Register the parts and their keys; `vireid_plugins.config.get_cfg()` calls this once."""
    from vireid_example import channel_gate, modality_mean, stripes  # noqa: F401  each registers itself
