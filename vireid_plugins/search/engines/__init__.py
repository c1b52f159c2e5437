"""Engines: where a gallery keeps its vectors and what is known of its images, and how it finds the nearest of them."""

from vireid_plugins.search.engines.base import Engine, Record
from vireid_plugins.search.engines.folder import FolderEngine
from vireid_plugins.search.engines.kind import Kind
from vireid_plugins.search.engines.where import Condition, Where

__all__ = ["Condition", "Engine", "FolderEngine", "Kind", "Record", "Where"]
