"""The test feature of a branch, computed from its pooled and its BNNeck feature.

Most methods compare BNNeck features. DEEN and, on LLCM, MSCMNet add the cosines of both features; CAJ adds the
L2-normalized features of an image and its mirror image (released code).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.heads.branch_head import BranchHead


@dataclass(frozen=True)
class TestFeature:
    """The features that are compared at test.

    Attributes:
        pooled: weight of the pooled feature's cosine (`TEST.FEATURE.POOLED_WEIGHT`).
        neck: weight of the BNNeck feature's cosine (`TEST.FEATURE.NECK_WEIGHT`).
        normalize: also L2-normalize a single feature, before a flip test adds the mirror image's
            (`TEST.FEATURE.NORMALIZE`).

    Raises:
        ConfigError: a weight is negative, or both are 0.
    """

    __test__ = False  # keeps pytest from collecting it as a test case

    pooled: float = 0.0
    neck: float = 1.0
    normalize: bool = False

    def __post_init__(self) -> None:
        if min(self.pooled, self.neck) < 0 or not self.pooled + self.neck:
            raise ConfigError(
                "TEST.FEATURE: POOLED_WEIGHT and NECK_WEIGHT must be 0 or more, and one of them above 0; got "
                f"{self.pooled} and {self.neck}"
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "TestFeature":
        """Build from `TEST.FEATURE`."""
        node = cfg.TEST.FEATURE
        return cls(node.POOLED_WEIGHT, node.NECK_WEIGHT, node.NORMALIZE)

    def of(self, head: nn.Module, feature_map: Tensor) -> Tensor:
        """Return the test feature of a feature map (B, C, H, W).

        If only the BNNeck feature is compared, without normalization, this is the head's output (B, D). Otherwise each
        feature is L2-normalized and multiplied by the square root of its weight, and the results are concatenated, so
        that an inner product is the weighted sum of cosines.

        Raises:
            ConfigError: the head is not a `BranchHead`, so that its pooled feature is not available.
        """
        if not self.pooled and not self.normalize:
            feature: Tensor = head(feature_map)
            return feature
        return torch.cat(self.parts(head, feature_map), dim=1)

    def parts(self, head: nn.Module, feature_map: Tensor) -> list[Tensor]:
        """Return the weighted, normalized features (B, D) that make up the test feature; see `of`."""
        if not isinstance(head, BranchHead):
            raise ConfigError(
                f"TEST.FEATURE: MODEL.HEADS.NAME {type(head).__name__} does not provide a pooled and a BNNeck feature; "
                "set it to BranchHead, or leave POOLED_WEIGHT 0 and NORMALIZE False"
            )
        return self._weighted(*head.pooled_and_neck(feature_map))

    def joined(self, pooled: Tensor, neck: Tensor) -> Tensor:
        """Return the test feature, as `of` does, of methods that compute the BNNeck feature themselves.

        Args:
            pooled: (B, D) before the BNNeck.
            neck: (B, D) after it.
        """
        return torch.cat(self._weighted(pooled, neck), dim=1) if self.pooled or self.normalize else neck

    def _weighted(self, pooled: Tensor, neck: Tensor) -> list[Tensor]:
        pair = ((self.pooled, pooled), (self.neck, neck))
        return [weight**0.5 * F.normalize(feature) for weight, feature in pair if weight]
