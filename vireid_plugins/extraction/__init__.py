"""How a trained network computes features: exactly, or in the fastest form that a CPU and what is installed allow."""

from vireid_plugins.extraction.network import FastNetwork, form_of, network_for

__all__ = ["FastNetwork", "form_of", "network_for"]
