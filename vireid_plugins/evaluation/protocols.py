"""Protocols as data: who is query, who is gallery, what is dropped, how ranks are counted."""

from collections.abc import Iterable
from dataclasses import dataclass

from vireid_plugins.errors import ConfigError, require_name


@dataclass(frozen=True)
class Protocol:
    """One way to score a data set.

    Attributes:
        name: what configs and tables call it.
        dataset: name in fast-reid's `DATASET_REGISTRY`.
        direction: query to gallery, `i2v` or `v2i`.
        cmc: `distinct_id` or `ordinary`, see `evaluate_ranking`.
        drop: `same_camera`, `none` or a key of the data set's `unseen`, see `evaluate_ranking`.
        about: who prints it, and what tells it from its neighbours.
        mode: which gallery cameras, a key of the data set's `galleries`; empty is all of them.
        draw: how the drawn side of a trial comes about: `official` (by files that come with the data set), `seeded`
            (`random.seed(trial)`) or `everything`.
        drawn: the side that is drawn, `gallery` or `query`; the other one is whole.
        shots: drawn images of one identity in one camera; 0 is all of them.
        trials: draws over which scores are averaged.
    """

    name: str
    dataset: str
    direction: str
    cmc: str
    drop: str
    about: str
    mode: str = ""
    draw: str = "everything"
    drawn: str = "gallery"
    shots: int = 0
    trials: int = 1


def _sysu(source: str, mode: str, shots: int, about: str) -> Protocol:
    return Protocol(
        name=f"sysu/{source}/{mode}/{shots}shot",
        dataset="SYSUMM01",
        direction="i2v",
        cmc="distinct_id",
        drop="sysu",
        about=about,
        mode=mode,
        draw="official" if source == "official" else "seeded",
        shots=shots,
        trials=10,
    )


def _regdb(direction: str, cmc: str, about: str) -> Protocol:
    suffix = "" if cmc == "ordinary" else f"/{cmc}"
    return Protocol(f"regdb/{direction}{suffix}", "RegDB", direction, cmc, "none", about)


def _llcm(name: str, direction: str, about: str, drawn: str = "gallery") -> Protocol:
    return Protocol(
        name=f"llcm/{name}",
        dataset="LLCM",
        direction=direction,
        cmc="distinct_id",
        drop="same_camera",
        about=about,
        draw="seeded",
        drawn=drawn,
        shots=1,
        trials=10,
    )


_OFFICIAL = (
    "Printed by the data set's authors, MPANet and those that follow them: the gallery is drawn by rand_perm_cam.mat."
)
_AGW = (
    "Printed by AGW, CAJ, DEEN, MSCMNet and those that follow them: random.seed(trial), one image an identity and "
    "camera. Its numbers stand in one column with the official ones in most tables."
)
_ORDINARY = "Printed by AGW and those that follow it: the CMC counts images. Mean over ten trainings, one a split."
_DISTINCT = (
    "Printed by MPANet and those that follow it: the CMC counts identities, so that rank-5, 10 and 20 are higher than "
    "the ordinary ones; rank-1 and mAP are the same. Mean over ten trainings, one a split."
)
_FULL = "What IDKL's released code scores: every image is query or gallery, and the camera rule is off."

_ALL = [
    *(_sysu("official", mode, shots, _OFFICIAL) for mode in ("all", "indoor") for shots in (1, 10)),
    *(_sysu("agw", mode, 1, _AGW) for mode in ("all", "indoor")),
    Protocol(
        name="sysu/val/1shot",
        dataset="SYSUMM01Val",
        direction="i2v",
        cmc="distinct_id",
        drop="sysu",
        about="Printed by nobody: the validation identities, camera 3 against cameras 4 and 5, drawn as AGW draws. It "
        "chooses the epoch where DATASETS.SYSU.TRAIN is train.",
        mode="val",
        draw="seeded",
        shots=1,
        trials=10,
    ),
    *(_regdb(direction, "ordinary", _ORDINARY) for direction in ("v2i", "i2v")),
    *(_regdb(direction, "distinct_id", _DISTINCT) for direction in ("v2i", "i2v")),
    _llcm("v2i", "v2i", "Printed by DEEN's paper and those that follow it: visible queries, one infrared image drawn."),
    _llcm("i2v", "i2v", "Printed by DEEN and those that follow it: infrared queries, one visible image drawn."),
    _llcm(
        "v2i_transposed",
        "i2v",
        "What the data set authors' code prints as 'VIS to IR' since June 2023: the drawn infrared images are the "
        "queries and all visible ones the gallery. Not comparable with llcm/v2i.",
        drawn="query",
    ),
    *(
        Protocol(f"llcm/full/{direction}", "LLCM", direction, "distinct_id", "none", _FULL)
        for direction in ("v2i", "i2v")
    ),
]

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def require_protocols(names: Iterable[str]) -> list[Protocol]:
    """Return the protocols of these names.

    Raises:
        ConfigError: one does not exist; the message lists those that do.
    """
    protocols = []
    for name in names:
        require_name("TEST.PROTOCOLS", name, PROTOCOLS)
        protocols.append(PROTOCOLS[name])
    return protocols


def select_protocols(names: Iterable[str] | None, dataset: str | None) -> list[Protocol]:
    """Return the protocols of these names, all of one data set, or those of `dataset` where no names are given.

    Raises:
        ConfigError: a name does not exist, or they are of several data sets.
    """
    if not names:
        return protocols_of(dataset or "", [])
    protocols = require_protocols(names)
    if len({protocol.dataset for protocol in protocols}) > 1:
        raise ConfigError(
            f"the protocols {', '.join(p.name for p in protocols)} are of several data sets; score one at a time"
        )
    return protocols


def protocols_of(dataset: str, names: Iterable[str]) -> list[Protocol]:
    """Return those of `names` that score `dataset`; all that do where `names` is empty.

    Raises:
        ConfigError: a name does not exist, or none of them scores the data set.
    """
    names = list(names)
    scoring = [protocol for protocol in require_protocols(names or PROTOCOLS) if protocol.dataset == dataset]
    if not scoring:
        known = ", ".join(p.name for p in PROTOCOLS.values() if p.dataset == dataset) or "none"
        wrong = f"none of {', '.join(names)} scores {dataset}" if names else f"nothing scores {dataset}"
        raise ConfigError(f"TEST.PROTOCOLS: {wrong}; those that do: {known}")
    return scoring
