"""Identity samplers over two modalities. Importing this package registers them."""

from vireid_plugins.data.samplers.apart import ApartSampler
from vireid_plugins.data.samplers.balanced import BalancedCrossModalitySampler
from vireid_plugins.data.samplers.base import SAMPLER_REGISTRY, CrossModalitySampler, EpochSampler
from vireid_plugins.data.samplers.identity import CrossModalityIdentitySampler, DistinctImagesSampler

__all__ = [
    "SAMPLER_REGISTRY",
    "ApartSampler",
    "BalancedCrossModalitySampler",
    "CrossModalityIdentitySampler",
    "CrossModalitySampler",
    "DistinctImagesSampler",
    "EpochSampler",
]
