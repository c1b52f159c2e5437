"""Check a data set on disk: its own lists, and the published counts or the manifest of a synthetic tree."""

from vireid_plugins.data.verify.finding import Finding
from vireid_plugins.data.verify.verify import LAYOUT_CHECKS, Report, verify

__all__ = ["LAYOUT_CHECKS", "Finding", "Report", "verify"]
