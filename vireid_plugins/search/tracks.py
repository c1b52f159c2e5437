"""A gallery of tracks: one entry for all images of a person that a tracker followed in one camera.

Such a gallery holds the images themselves in a gallery of its own, in the folder `frames` inside it, which is updated
as any other. From it the entries of tracks are made, those again whose images have changed: the vector is the mean of
the images' vectors weighted by their quality, or that of the best image (`vireid_plugins.detections.represent`). An
entry has the key and the digest of its best image, the time of its first, and the columns that all its images share.
Images without a track are entries as they are.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from vireid_plugins.detections.tracks import How, represent
from vireid_plugins.errors import DataError
from vireid_plugins.search.engines import Condition, Record, Where
from vireid_plugins.search.engines.kind import Kind
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery, open_gallery
from vireid_plugins.search.gallery_folder import FRAMES, is_gallery, writing
from vireid_plugins.search.indexing import Indexed, index_images, remove_images

NONE = "none"
WAYS = ("mean", "best", NONE)
_FACT = "tracks"
# A modality, a camera and the name of a track in it.
Track = tuple[int, str, str]


def track_of(record: Record) -> Track | None:
    """Return the track of an image or of an entry; None if it has none."""
    return (record.modality, record.camera, record.track) if record.track else None


def way_of(target: Path, asked: str | None) -> str:
    """Return how the entries of a gallery are made, one of WAYS: as asked, or as it was made.

    Raises:
        DataError: it was made in another way.
    """
    if not is_gallery(target):
        return asked or NONE
    with Gallery.load(target) as gallery:
        made = gallery.engine.facts().get(_FACT, NONE)
    if asked not in (None, made):
        raise DataError(f"the gallery '{target}' was made with --tracks {made}; choose another folder with --index")
    return made


def index_tracks(
    extractor: Extractor,
    folder: Path,
    target: Path,
    way: str,
    report: Callable[[int, int], Any] | None = None,
    *,
    how: str,
    **more: Any,
) -> Indexed:
    """Create or update a gallery of tracks; `how` is `mean` or `best`, and the rest is as in `index_images`."""
    with writing(target, patience=0):
        done = index_images(extractor, folder, target / FRAMES, way, report, **more)
        done.entries = _settle(target, how, more.get("kind", Kind()))
    return done


def remove_from(target: Path, images: Path) -> tuple[int, int]:
    """Remove images from a gallery, of tracks or not; see `remove_images`."""
    if not is_gallery(target / FRAMES):
        return remove_images(target, images)
    with writing(target):
        counts = remove_images(target / FRAMES, images, target)
        _settle(target)
    return counts


def frames_of(gallery: Gallery) -> dict[Track, list[Record]]:
    """Return the images of the tracks of a gallery, in the order of their times and names; none if it has no tracks."""
    found: dict[Track, list[Record]] = {}
    if is_gallery(gallery.folder / FRAMES):
        with Gallery.load(gallery.folder / FRAMES) as frames:
            for record in frames.records():
                if track := track_of(record):
                    found.setdefault(track, []).append(record)
    return {track: sorted(records, key=_place) for track, records in found.items()}


def frames_of_track(frames: Gallery, track: Track) -> list[Record]:
    """Return the images of one track in the order of their times and names, from the gallery of all images."""
    found = frames.records(_of_track(track))
    return sorted((one for one in found if track_of(one) == track), key=_place)


def count_frames(frames: Gallery, track: Track) -> int:
    """Return the number of images of one track, from the gallery of all images."""
    # No condition asks for images without a camera.
    return frames.engine.count(_of_track(track)) if track[1] else len(frames_of_track(frames, track))


def _of_track(track: Track) -> Where:
    modality, camera, name = track
    conditions = [Condition("track", "=", name), Condition("modality", "=", modality)]
    return Where((*conditions, *([Condition("camera", "=", camera)] if camera else [])))


def _place(record: Record) -> tuple[float, str]:
    return (float("inf") if record.time is None else record.time, record.key)


def _settle(target: Path, how: str = "", kind: Kind = Kind()) -> int:  # noqa: B008  frozen
    """Bring the entries of a gallery up to date with its images; return how many there are."""
    with Gallery.load(target / FRAMES) as frames:
        groups: dict[object, list[Record]] = {}
        for record in frames.records():
            groups.setdefault(track_of(record) or record.key, []).append(record)
        gallery = open_gallery(target) or Gallery.create(target, frames.engine.width, frames.made_by, kind)
        with gallery:
            how = gallery.engine.facts().get(_FACT, how)
            gallery.engine.set_facts({_FACT: how})
            known = {record.key: record for record in gallery.records()}
            entries = [_entry(sorted(group, key=_place), how) for group in groups.values()]
            gallery.remove(known.keys() - {entry.key for entry, _ in entries})
            changed = [(entry, group) for entry, group in entries if known.get(entry.key) != entry]
            if changed:
                vectors = [_vector(frames, group, how) for _, group in changed]
                gallery.add([entry for entry, _ in changed], np.stack(vectors))
            gallery.keep(frames.made_by, frames.folders)
            return len(gallery)


def _entry(group: Sequence[Record], how: str) -> tuple[Record, Sequence[Record]]:
    """Return the entry of a track's images, or of one image without a track, and the images."""
    if not group[0].track:
        return group[0], group
    best = max(group, key=_quality)
    content = "\n".join(f"{one.key}\0{one.digest}\0{_quality(one)!r}" for one in group)
    shared = {name: value for name, value in best.extra.items() if all(one.extra.get(name) == value for one in group)}
    stamp = hashlib.sha256(f"{how}\n{content}".encode(errors="surrogateescape")).hexdigest()
    return replace(best, stamp=stamp, time=group[0].time, extra=shared), group


def _vector(frames: Gallery, group: Sequence[Record], how: str) -> Any:
    vectors = frames.engine.vectors([one.key for one in group])
    if not group[0].track:
        return vectors[0]
    return represent(vectors.astype(np.float32), np.array([_quality(one) for one in group]), cast(How, how))


def _quality(record: Record) -> float:
    """Return the quality of a crop, a column of `crops.csv`; 1 if nobody computed it."""
    found = dict(record.extra).get("quality", 1.0)
    return float(found) if isinstance(found, int | float) and found >= 0 else 1.0


def tracks_with(frames: Mapping[Track, Sequence[Record]], is_query: Callable[[Record], bool]) -> set[Track]:
    """Return the tracks that a query is an image of."""
    return {track for track, records in frames.items() if any(map(is_query, records))}
