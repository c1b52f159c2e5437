"""Checks a data set on disk against the published counts, its own lists, and for a synthetic tree its manifest."""

from vireid_plugins.data.verify.finding import Finding
from vireid_plugins.data.verify.verify import LAYOUT_CHECKS, Report, verify

__all__ = ["LAYOUT_CHECKS", "Finding", "Report", "verify"]
