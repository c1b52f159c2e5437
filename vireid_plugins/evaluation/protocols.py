"""Protocols as data: query, gallery, excluded images, and how ranks are counted."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vireid_plugins.errors import ConfigError, require_name


@dataclass(frozen=True)
class Protocol:
    """One way to score a data set.

    Attributes:
        name: its name in configs and tables.
        dataset: name in fast-reid's `DATASET_REGISTRY`.
        direction: query to gallery, `i2v` or `v2i`.
        cmc: `distinct_id` or `ordinary`, see `evaluate_ranking`.
        drop: `same_camera`, `none` or a key of the data set's `unseen`, see `evaluate_ranking`.
        about: who reports it, and how it differs from similar protocols.
        mode: gallery cameras, a key of the data set's `galleries`; empty: all cameras.
        draw: how images are drawn for a trial: `official` (from files of the data set), `seeded`
            (`random.seed(trial)`) or `everything` (all images).
        drawn: the side that is drawn, `gallery` or `query`; all images of the other side are used.
        shots: images drawn per identity and camera; 0: all of them.
        trials: number of trials over which scores are averaged.
        enrollments: draws of the half of the identities that is enrolled; 0: all are, a closed set.
        note: what is printed beside its name; empty: nothing.
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
    enrollments: int = 0
    note: str = ""


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
    "Reported by the data set's authors, MPANet and papers that follow them: the gallery is drawn from "
    "rand_perm_cam.mat."
)
_AGW = (
    "Reported by AGW, CAJ, DEEN, MSCMNet and papers that follow them: random.seed(trial), one image per identity and "
    "camera. Most tables list its numbers in the same column as the official ones."
)
_ORDINARY = "Reported by AGW and papers that follow it: the CMC ranks images. Mean over ten trainings, one per split."
_DISTINCT = (
    "Reported by MPANet and papers that follow it: the CMC ranks identities, so rank-5, 10 and 20 are higher than the "
    "ordinary ones; rank-1 and mAP are the same. Mean over ten trainings, one per split."
)
_FULL = "The evaluation of IDKL's released code: all images are used, and no camera rule excludes any."
_OWN = (
    "Yours alone: the test identities of your own images, all of which are used, and no camera rule excludes any. "
    "Comparable with no table in print."
)

_ALL = [
    *(_sysu("official", mode, shots, _OFFICIAL) for mode in ("all", "indoor") for shots in (1, 10)),
    *(_sysu("agw", mode, 1, _AGW) for mode in ("all", "indoor")),
    Protocol(
        name="sysu/val/1shot",
        dataset="SYSUMM01Val",
        direction="i2v",
        cmc="distinct_id",
        drop="sysu",
        about="Reported by no paper: the validation identities, camera 3 against cameras 4 and 5, drawn as in AGW. It "
        "picks the best epoch if DATASETS.SYSU.TRAIN is train.",
        mode="val",
        draw="seeded",
        shots=1,
        trials=10,
    ),
    *(_regdb(direction, "ordinary", _ORDINARY) for direction in ("v2i", "i2v")),
    *(_regdb(direction, "distinct_id", _DISTINCT) for direction in ("v2i", "i2v")),
    _llcm(
        "v2i",
        "v2i",
        "Reported by DEEN's paper and papers that follow it: visible queries; one infrared image is drawn per identity "
        "and camera.",
    ),
    _llcm(
        "i2v",
        "i2v",
        "Reported by DEEN and papers that follow it: infrared queries; one visible image is drawn per identity and "
        "camera.",
    ),
    _llcm(
        "v2i_transposed",
        "i2v",
        "Printed as 'VIS to IR' by the data set authors' code since June 2023: the drawn infrared images are the "
        "queries, and all visible images are the gallery. Not comparable with llcm/v2i.",
        drawn="query",
    ),
    *(
        Protocol(f"llcm/full/{direction}", "LLCM", direction, "distinct_id", "none", _FULL)
        for direction in ("v2i", "i2v")
    ),
    *(
        Protocol(f"own/{direction}", "OwnFolder", direction, "ordinary", "none", _OWN, note="your own protocol")
        for direction in ("v2i", "i2v")
    ),
]

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


# What follows the name of a protocol in that of its open-set form, and the number of enrollments of such a form.
OPEN, ENROLLMENTS = "/open", 10
# What makes a name a pattern of `fnmatch`.
_WILD = re.compile(r"[*?\[]")


def open_form(protocol: Protocol) -> Protocol:
    """Return the open-set form of a protocol, in which half of the identities are unknown; see `open_set`."""
    if protocol.enrollments:
        return protocol
    about = f"The open-set form of {protocol.name}: half of the identities are unknown."
    return replace(protocol, name=protocol.name + OPEN, about=about, enrollments=ENROLLMENTS)


def require_protocols(names: Iterable[str]) -> list[Protocol]:
    """Return the protocols with these names, each once.

    Args:
        names: names and patterns of `fnmatch`, such as `sysu/*`; what a pattern matches comes in the order of
            `PROTOCOLS`. With `/open` at its end a name or pattern stands for the open-set forms, and only then.

    Raises:
        ConfigError: a name is unknown, or a pattern matches none; the message lists the available ones.
    """
    protocols: dict[str, Protocol] = {}
    for name in names:
        # What is no text is no name either.
        closed = str(name).removesuffix(OPEN)
        matching = fnmatch.filter(PROTOCOLS, closed) if _WILD.search(closed) else {closed} & PROTOCOLS.keys()
        if not matching:
            require_name("TEST.PROTOCOLS", name, PROTOCOLS, f"; each also as NAME{OPEN}")
        for one in matching:
            protocol = PROTOCOLS[one] if closed == name else open_form(PROTOCOLS[one])
            protocols[protocol.name] = protocol
    return list(protocols.values())


def select_protocols(names: Iterable[str] | None, dataset: str | None) -> list[Protocol]:
    """Return the protocols with these names, all of one data set, or every protocol of `dataset` if there are no names.

    A pattern does not stand for the protocol of validation identities if it also matches others.

    Raises:
        ConfigError: a name is unknown, or the protocols belong to several data sets.
    """
    names = list(names or ())
    if not names:
        return protocols_of(dataset or "", [])
    protocols = require_protocols(names)
    tested = [one for one in protocols if one.mode != "val" or one.name in names]
    protocols = tested or protocols
    if len({protocol.dataset for protocol in protocols}) > 1:
        raise ConfigError(
            f"the protocols {', '.join(p.name for p in protocols)} belong to several data sets; score one at a time"
        )
    return protocols


def protocols_of(dataset: str, names: Iterable[str]) -> list[Protocol]:
    """Return the protocols among `names`, or among all if `names` is empty, that score `dataset`.

    Raises:
        ConfigError: a name is unknown, or no protocol scores the data set.
    """
    names = list(names)
    scoring = [protocol for protocol in require_protocols(names or PROTOCOLS) if protocol.dataset == dataset]
    if not scoring:
        available = ", ".join(p.name for p in PROTOCOLS.values() if p.dataset == dataset) or "none"
        problem = f"none of {', '.join(names)} scores {dataset}" if names else f"no protocol scores {dataset}"
        raise ConfigError(f"TEST.PROTOCOLS: {problem}; available: {available}")
    return scoring
