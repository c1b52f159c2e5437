"""Heads. Importing this package registers them in fast-reid's `REID_HEADS_REGISTRY`."""

from vireid_plugins.modeling.heads import margins
from vireid_plugins.modeling.heads.branch_head import BranchHead, build_head
from vireid_plugins.modeling.heads.neck_head import NeckHead
from vireid_plugins.modeling.heads.pooling import GeMAdd
from vireid_plugins.modeling.heads.projection import Projection
from vireid_plugins.modeling.heads.test_feature import TestFeature

__all__ = ["BranchHead", "GeMAdd", "NeckHead", "Projection", "TestFeature", "build_head", "margins"]
