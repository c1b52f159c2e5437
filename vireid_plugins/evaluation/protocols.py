"""Protocols as data: who is query, who is gallery, what is dropped, how ranks are counted."""

from collections.abc import Iterable
from dataclasses import dataclass

from vireid_plugins.config.check import require_name
from vireid_plugins.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """One way to score a data set.

    Attributes:
        name: what configs and tables call it.
        dataset: name in fast-reid's `DATASET_REGISTRY`.
        direction: query to gallery, `i2v` or `v2i`.
        mode: `all` or `indoor`, the gallery cameras of SYSU-MM01.
        draw: how the gallery of a trial is drawn, `official` or `agw`.
        shots: gallery images of one identity in one camera.
        trials: draws over which scores are averaged.
        cmc: `distinct_id` or `ordinary`, see `evaluate_ranking`.
        drop: `sysu`, `same_camera` or `none`, see `evaluate_ranking`.
        printed_by: who prints it.
    """

    name: str
    dataset: str
    direction: str
    mode: str
    draw: str
    shots: int
    trials: int
    cmc: str
    drop: str
    printed_by: str


def _sysu(draw: str, mode: str, shots: int, printed_by: str) -> Protocol:
    return Protocol(
        name=f"sysu/{draw}/{mode}/{shots}shot",
        dataset="SYSUMM01",
        direction="i2v",
        mode=mode,
        draw=draw,
        shots=shots,
        trials=10,
        cmc="distinct_id",
        drop="sysu",
        printed_by=printed_by,
    )


_OFFICIAL = "the data set's authors (rand_perm_cam.mat), MPANet and those that follow them"
_AGW = "AGW, CAJ, DEEN, MSCMNet and those that follow them: random.seed(trial), one image an identity and camera"

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in [
        *(_sysu("official", mode, shots, _OFFICIAL) for mode in ("all", "indoor") for shots in (1, 10)),
        *(_sysu("agw", mode, 1, _AGW) for mode in ("all", "indoor")),
    ]
}


def require_protocols(names: Iterable[str]) -> list[Protocol]:
    """Return the protocols of these names.

    Raises:
        ConfigError: one does not exist; the message lists those that do.
    """
    found = []
    for name in names:
        require_name("TEST.PROTOCOLS", name, PROTOCOLS)
        found.append(PROTOCOLS[name])
    return found


def protocols_of(dataset: str, names: Iterable[str]) -> list[Protocol]:
    """Return those of `names` that score `dataset`; all that do where `names` is empty.

    Raises:
        ConfigError: a name does not exist, or none of them scores the data set.
    """
    found = [protocol for protocol in require_protocols(names or PROTOCOLS) if protocol.dataset == dataset]
    if not found:
        known = ", ".join(p.name for p in PROTOCOLS.values() if p.dataset == dataset) or "none"
        raise ConfigError(f"TEST.PROTOCOLS: none of {', '.join(names)} scores {dataset}; those that do: {known}")
    return found
