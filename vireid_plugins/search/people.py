"""Images of one person among the hits of a query: those of one track, and near-duplicates."""

from collections.abc import Mapping, Sequence

from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.similarity import Scored, cosines

# Cosine from which on two images are taken for one picture of one person; our choice. Frames of a second reach it,
# images of different people do not.
NEAR = 0.98


def grouped(answers: Sequence[Scored], vector_of: Mapping[str, Vectors]) -> list[list[Scored]]:
    """Return the hits of a query in groups, in the order of their nearest images.

    A hit joins the first group that has its track (of its camera), or whose nearest image it resembles by NEAR.

    Args:
        answers: the hits, best first.
        vector_of: their vectors (D,), by key.
    """
    groups: list[list[Scored]] = []
    for one in answers:
        for group in groups:
            first = group[0]
            if _same_track(one, first) or _near(vector_of[one.record.key], vector_of[first.record.key]):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _same_track(one: Scored, other: Scored) -> bool:
    track = one.record.track
    return bool(track) and (track, one.record.camera) == (other.record.track, other.record.camera)


def _near(one: Vectors, other: Vectors) -> bool:
    return float(cosines(one, other[None])[0]) >= NEAR
