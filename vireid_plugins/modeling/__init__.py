"""Backbones, attention, heads, losses and meta-architectures, registered in fast-reid's registries and in our own."""

from vireid_plugins.modeling import attention, backbones, heads, losses, meta_arch  # registers
from vireid_plugins.modeling.bundle import Branch, Bundle

__all__ = ["Branch", "Bundle", "attention", "backbones", "heads", "losses", "meta_arch"]
