"""Which visible cluster is which infrared one: a registry of ways to tell, and what a way takes and returns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.config.check import registered
from vireid_plugins.config.keys import Key, KeyedRegistry, arguments, declare_table, snake_case
from vireid_plugins.errors import require_name

Floats = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Associated = tuple[dict[str, Tensor], dict[str, Tensor]]

declare_table(
    Key(
        "USL.ASSOCIATE.NAME",
        "",
        "How the clusters of the two modalities are associated at every epoch, a name in ASSOCIATION_REGISTRY (CMA, "
        "PGM); empty: not at all, each modality learns by itself.",
    )
)

ASSOCIATION_REGISTRY = KeyedRegistry("ASSOCIATION", "USL.ASSOCIATE")
ASSOCIATION_REGISTRY.__doc__ = """
Subclasses of `Association`, chosen by `USL.ASSOCIATE.NAME`. The keyword-only parameters of a class, such as `CMA`, are
the keys of its node, `USL.ASSOCIATE.CMA`, and described in its docstring.
"""


class Association(ABC):
    """Associates clusters once per epoch, after clustering and before the first step."""

    @abstractmethod
    def __call__(
        self, features: Mapping[str, Floats], labels: Mapping[str, Labels], memories: Mapping[str, Tensor]
    ) -> Associated:
        """Return the association and the memories that the epoch starts with.

        Args:
            features: of "visible" and "infrared" images, (N_V, D) and (N_R, D).
            labels: their clusters, (N_V,) and (N_R,); -1: none.
            memories: normalized means (K_V, D) and (K_R, D) of the clusters; not changed.

        Returns:
            "r2i" (K_V,) and "i2r" (K_R,) as in `EpochState`, or nothing; and memories by modality.
        """


def build_association(cfg: CfgNode) -> Association | None:
    """Build the way of `USL.ASSOCIATE.NAME`; None if it is empty.

    Raises:
        ConfigError: the name is unknown, or a key of its node is out of range.
    """
    name = cfg.USL.ASSOCIATE.NAME
    if not name:
        return None
    require_name("USL.ASSOCIATE.NAME", name, registered(ASSOCIATION_REGISTRY))
    way: Any = ASSOCIATION_REGISTRY.get(name)
    built: Association = way(**arguments(cfg.USL.ASSOCIATE[snake_case(name).upper()]))
    return built
