"""Keys of the clustering of an epoch."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import ConfigError, require_name


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """`USL.CLUSTER`: how the images of each modality are clustered before an epoch.

    Args:
        k1: neighbors of an image, itself among them, that its k-reciprocal neighborhood is made from.
        k2: nearest of them over which its neighborhood is averaged.
        eps: largest Jaccard distance of neighbors in DBSCAN, of visible and of infrared images.
        min_samples: neighbors, an image itself among them, that make it the core of a cluster.
        renormalize: L2-normalize the mean of the features of an image and its mirror image before neighbors are
            looked for; released code does not.
        labeled: the modality whose clusters are its identities, "visible" or "infrared", as where one modality alone
            has been labeled; empty: none.
        log_truth: where the data set has identities, log how well clusters agree with them; nothing else reads them.

    Raises:
        ConfigError: a number is out of range.
    """

    k1: int = 30
    k2: int = 6
    eps: tuple[float, ...] = (0.6, 0.6)
    min_samples: int = 4
    renormalize: bool = False
    labeled: str = ""
    log_truth: bool = True

    def __post_init__(self) -> None:
        for name in ("k1", "k2", "min_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"USL.CLUSTER.{name.upper()}: must be at least 1, got {getattr(self, name)}")
        require_name("USL.CLUSTER.LABELED", self.labeled, ("", *MODALITIES.values()))
        if self.k2 > self.k1:
            raise ConfigError(f"USL.CLUSTER.K2: must be at most USL.CLUSTER.K1 {self.k1}, got {self.k2}")
        if len(self.eps) != 2 or not all(type(one) in (int, float) and 0 < one < 1 for one in self.eps):
            raise ConfigError(
                "USL.CLUSTER.EPS: must be two numbers between 0 and 1, for visible and infrared images, such as "
                f"[0.6, 0.6]; got {list(self.eps)}"
            )


declare("USL.CLUSTER", ClusterOptions)
