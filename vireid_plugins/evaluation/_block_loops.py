"""Compiled loops that count images of a block of distances; see `block_ranking`."""

from typing import Any

import numpy as np

from vireid_plugins.evaluation._numba import compiled


@compiled
def _counted(near: Any, limit: Any, image: int) -> Any:
    """Return how many of some images are ranked before one at the position `image`, which may lie outside."""
    split = min(max(image, 0), len(near))
    # The match itself is not before itself.
    before, behind = near[:split], near[min(split + (split == image), len(near)) :]
    ahead: Any = np.int32(0)
    for g in range(len(before)):
        ahead = np.int32(ahead + np.int32(before[g] <= limit))
    for g in range(len(behind)):
        ahead = np.int32(ahead + np.int32(behind[g] < limit))
    return ahead


@compiled
def count_block(
    start: int,
    stop: int,
    near: Any,
    first: int,
    query_ids: Any,
    query_cams: Any,
    gallery_ids: Any,
    gallery_cams: Any,
    pairs: Any,
    same_camera: bool,
    starts: Any,
    images: Any,
    limits: Any,
    best: Any,
    ahead: Any,
    seen: Any,
    changed: Any,
) -> None:
    """Add the images of a block to the counts of the queries `start` to `stop`.

    `near` (B, T) is overwritten; `first` is the position of its first column in the gallery. `best` (B,) is each
    query's nearest match, an index of `limits`, or -1. `seen` (B, identities) notes what has an image before it.
    """
    size = near.shape[1]
    for q in range(start, stop):
        if best[q] < 0:
            continue
        row = near[q]
        # NaN compares as neither smaller nor equal, so dropped images are never counted.
        for p in range(len(pairs)):
            if pairs[p, 0] == query_cams[q]:
                for g in range(size):
                    if gallery_cams[g] == pairs[p, 1]:
                        row[g] = np.nan
        if same_camera:
            for g in range(size):
                if gallery_ids[g] == query_ids[q] and gallery_cams[g] == query_cams[q]:
                    row[g] = np.nan
        for h in range(starts[q], starts[q + 1]):
            image = images[h] - first
            if 0 <= image < size and row[image] != limits[h]:
                limits[h] = row[image]
                changed[q] = 1
            ahead[h] += _counted(row, limits[h], image)
        if seen.shape[1]:
            limit, image = limits[best[q]], images[best[q]] - first
            for g in range(size):
                seen[q, gallery_ids[g]] |= np.uint8(row[g] < limit) | (np.uint8(row[g] == limit) & np.uint8(g < image))


@compiled
def summarize(starts: Any, ahead: Any, seen: Any, distinct: bool, first: Any, precision: Any, inverse: Any) -> None:
    """Write the first hit, AP and INP of every query with a match, given the images ahead of each match."""
    for q in range(len(starts) - 1):
        matches = starts[q + 1] - starts[q]
        if matches == 0:
            continue
        positions = np.sort(ahead[starts[q] : starts[q + 1]])
        for h in range(matches):
            precision[q] += (h + 1) / (positions[h] + 1)
        precision[q] /= matches
        inverse[q] = matches / (positions[matches - 1] + 1)
        first[q] = positions[0]
        if distinct and positions[0] > 0:
            first[q] = seen[q].sum()
