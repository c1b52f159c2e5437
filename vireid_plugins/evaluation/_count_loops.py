"""Compiled loops that count the images ranked before each correct match; see `rank_positions` and `block_ranking`."""

from typing import Any

import numpy as np

from vireid_plugins.evaluation._numba import compiled


@compiled
def _ahead(near: Any, limit: Any, image: int) -> Any:
    """Return how many of some images are ranked before one at a distance; its position may lie outside of them."""
    split = min(max(image, 0), len(near))
    # The image itself is not before itself.
    before, behind = near[:split], near[min(split + (split == image), len(near)) :]
    # The loops are vectorized only in this form: from 0 to the length of a slice, with a four-byte counter.
    ahead: Any = np.int32(0)
    for g in range(len(before)):
        ahead = np.int32(ahead + np.int32(before[g] <= limit))
    for g in range(len(behind)):
        ahead = np.int32(ahead + np.int32(behind[g] < limit))
    return ahead


@compiled
def _precision(positions: Any) -> Any:
    """Return the average precision of matches at ascending positions."""
    precision = 0.0
    for h in range(len(positions)):
        precision += (h + 1) / (positions[h] + 1)
    return precision / len(positions)


@compiled
def _identities_ahead(near: Any, hit: int, gallery_ids: Any, seen: Any) -> Any:
    """Return how many identities have an image ranked before the one at `hit`; `seen` (n,) is scratch."""
    limit = near[hit]
    seen[:] = 0
    # Without branches on distances, whose outcome no processor can predict. Images of an identity often follow each
    # other, and a byte that is written again and again is slow.
    current, name = np.uint8(0), gallery_ids[0]
    for g in range(len(near)):
        if gallery_ids[g] != name:
            seen[name] |= current
            current, name = np.uint8(0), gallery_ids[g]
        current |= np.uint8(near[g] < limit) | (np.uint8(near[g] == limit) & np.uint8(g < hit))
    seen[name] |= current
    ahead: Any = np.int32(0)
    for i in range(len(seen)):
        ahead = np.int32(ahead + np.int32(seen[i]))
    return ahead


@compiled
def count(
    start: int,
    stop: int,
    distance: Any,
    rows: Any,
    columns: Any,
    query_ids: Any,
    query_cams: Any,
    gallery_ids: Any,
    gallery_cams: Any,
    by_identity: Any,
    starts: Any,
    pairs: Any,
    same_camera: bool,
    distinct: bool,
    first: Any,
    precision: Any,
    inverse: Any,
) -> None:
    """Write the first hit, AP and INP of the queries `start` to `stop`.

    `by_identity` lists the gallery images ordered by identity; those of identity i are `starts[i]` to `starts[i + 1]`.
    `pairs` (n, 2) and `same_camera` are those of `DropRule`.
    """
    size = len(columns)
    near = np.empty(size, distance.dtype)
    hits = np.empty(size, np.int64)
    positions = np.empty(size, np.int64)
    seen = np.empty(len(starts) - 1, np.uint8)
    for q in range(start, stop):
        row, identity, camera = distance[rows[q]], query_ids[q], query_cams[q]
        for g in range(size):
            near[g] = row[columns[g]]
        # NaN compares as neither smaller nor equal, so dropped images are never counted.
        for p in range(len(pairs)):
            if pairs[p, 0] == camera:
                for g in range(size):
                    if gallery_cams[g] == pairs[p, 1]:
                        near[g] = np.nan
        matches = 0
        if identity >= 0:
            for hit in by_identity[starts[identity] : starts[identity + 1]]:
                if same_camera and gallery_cams[hit] == camera:
                    near[hit] = np.nan
                elif not np.isnan(near[hit]):
                    hits[matches] = hit
                    matches += 1
        if matches == 0:
            first[q] = -1
            continue
        best = hits[0]
        for h in range(matches):
            positions[h] = _ahead(near, near[hits[h]], hits[h])
            if near[hits[h]] < near[best]:
                best = hits[h]
        positions[:matches].sort()
        precision[q] = _precision(positions[:matches])
        inverse[q] = matches / (positions[matches - 1] + 1)
        first[q] = positions[0]
        if distinct and positions[0] > 0:
            first[q] = _identities_ahead(near, best, gallery_ids, seen)


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
            ahead[h] += _ahead(row, limits[h], image)
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
        precision[q] = _precision(positions)
        inverse[q] = matches / (positions[matches - 1] + 1)
        first[q] = positions[0]
        if distinct and positions[0] > 0:
            first[q] = seen[q].sum()
