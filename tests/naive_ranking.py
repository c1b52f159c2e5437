"""Ranking metrics written from their definitions, query by query, in plain Python."""

import numpy as np


def naive(distance, query_ids, gallery_ids, query_cams, gallery_cams, drop, cmc):
    """Query by query, written from the definitions."""
    ranks, precisions, inverses = [], [], []
    for q in range(len(query_ids)):
        order = sorted(range(len(gallery_ids)), key=lambda g: (distance[q][g], g))
        if drop == "sysu":
            order = [g for g in order if not (query_cams[q] == 3 and gallery_cams[g] == 2)]
        if drop == "same_camera":
            order = [g for g in order if not (query_ids[q] == gallery_ids[g] and query_cams[q] == gallery_cams[g])]
        hits = [place for place, g in enumerate(order, start=1) if gallery_ids[g] == query_ids[q]]
        if not hits:
            continue
        precisions.append(np.mean([n / place for n, place in enumerate(hits, start=1)]))
        inverses.append(len(hits) / hits[-1])
        if cmc == "ordinary":
            ranks.append(hits[0])
        else:
            seen = list(dict.fromkeys(gallery_ids[g] for g in order))
            ranks.append(seen.index(query_ids[q]) + 1)
    if not ranks:
        return None
    curve = [np.mean([rank <= r for rank in ranks]) for r in range(1, len(gallery_ids) + 1)]
    return curve, np.mean(precisions), np.mean(inverses), len(ranks)
