"""Boxes of any detector over images or a video become crops of people, with camera, time and track."""

from vireid_plugins.detections.crops import Report, Settings, crop
from vireid_plugins.detections.sidecar import Crop, read_crops
from vireid_plugins.detections.tracks import represent, tracks_of

__all__ = ["Crop", "Report", "Settings", "crop", "read_crops", "represent", "tracks_of"]
