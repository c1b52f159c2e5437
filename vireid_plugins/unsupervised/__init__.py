"""Learning without labels: clusters, memories, association of clusters across modalities. Pure functions on arrays.

Shapes: `N` training images in the order of the data set, `D` embedding, `K_V` and `K_R` visible and infrared clusters.
An epoch extracts features, clusters each modality (`clusters`), associates the clusters (`association`) and starts the
memories; the result is an `EpochState`. A step contrasts features with the memories and then changes them (`memory`).
"""

from vireid_plugins.unsupervised.association import ASSOCIATION_REGISTRY, Association
from vireid_plugins.unsupervised.clusters import cluster, cluster_means, quality
from vireid_plugins.unsupervised.options import ClusterOptions
from vireid_plugins.unsupervised.state import EpochState

__all__ = [
    "ASSOCIATION_REGISTRY",
    "Association",
    "ClusterOptions",
    "EpochState",
    "cluster",
    "cluster_means",
    "quality",
]
