"""Compare the numbers of the public code and ours in two columns, and find the first difference."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tabulate import tabulate

from parity_parts.exchange import Step

# Numbers smaller than this are compared absolutely.
FLOOR = 1e-6
# Tolerance for numbers that both sides compute from the same weights.
STRICT = 1e-9


@dataclass(frozen=True)
class Row:
    """One number of a step.

    Attributes:
        step: step, from 0.
        name: what is compared.
        released: the public code's number.
        ours: this package's number.
        same_start: whether both sides computed it from the same weights, so that earlier steps have no influence.
        floor: numbers smaller than this are compared absolutely.
    """

    step: int
    name: str
    released: float
    ours: float
    same_start: bool = False
    floor: float = FLOOR

    @property
    def difference(self) -> float:
        """Difference relative to the larger number, at least the floor; infinite if just one is finite, or with NaN."""
        if not (math.isfinite(self.released) and math.isfinite(self.ours)):
            return 0.0 if self.released == self.ours else math.inf
        return abs(self.released - self.ours) / max(abs(self.released), abs(self.ours), self.floor)

    def as_json(self) -> dict[str, Any]:
        """Return the fields and the difference."""
        return {**asdict(self), "difference": self.difference}


@dataclass(frozen=True)
class Pair:
    """A term of the total loss under the names of both sides.

    Attributes:
        name: name in the output.
        released: the public code's names and the factors with which they enter the total.
        ours: this package's names; the term is their sum.
    """

    name: str
    released: Mapping[str, float]
    ours: Sequence[str]


_CE = Pair("cross-entropy", {"id_loss": 1}, ["loss_label_smooth_ce"])
PAIRS: dict[str, list[Pair]] = {
    "agw": [_CE, Pair("weighted triplet", {"tri_loss": 1}, ["loss_weighted_triplet"])],
    "caj": [_CE, Pair("squared-difference triplet", {"tri_loss": 1}, ["loss_squared_difference_triplet"])],
    "deen": [
        _CE,
        Pair("hard triplet", {"tri_loss": 1}, ["loss_hard_triplet"]),
        Pair("CPM", {"cpm_loss": 1}, ["loss_expansion_cpm"]),
        Pair("orthogonality", {"ort_loss": 1}, ["loss_expansion_orthogonality"]),
    ],
    "mscm": [_CE, Pair("quadruple centers", {"tri_loss": 1}, ["loss_qct"])],
    "idkl": [
        Pair("cross-entropy, shared", {"ce": 1}, ["loss_label_smooth_ce"]),
        Pair("cross-entropy, purified", {"id_pl": 1}, ["loss_sp_label_smooth_ce"]),
        Pair("hard triplets", {"tri": 1}, ["loss_hard_triplet", "loss_sp_hard_triplet"]),
        Pair("confuser", {"pse": 1}, ["loss_confuser"]),
        Pair("discriminator", {"unad": 1}, ["loss_discriminator"]),
        Pair("L_e", {"F_p": 0.1}, ["loss_purifier_e"]),
        Pair("L_r", {"IN_p": 0.1}, ["loss_purifier_r"]),
        Pair("graphs: TGSA and its part of MDR", {"soft_dt": 1}, ["loss_tgsa", "loss_mdr_graph"]),
        Pair("classes: CSA and its part of MDR", {"bg_kl": 1, "sm_kl": 1}, ["loss_csa", "loss_mdr_class"]),
    ],
}
# The public code's name of the total loss.
TOTALS = {"agw": "train_loss", "caj": "train_loss", "deen": "train_loss", "mscm": "train_loss", "idkl": "total"}


def compare(method: str, number: int, released: Step, ours: Step, name_here: Callable[[str], str | None]) -> list[Row]:
    """Return the rows of a step.

    Args:
        method: a key of `PAIRS`.
        number: number of the step.
        released: the public code's step.
        ours: this package's step.
        name_here: returns this package's name for a weight of the public code, or None for an unused one.
    """
    rows = []
    for pair in PAIRS[method]:
        there = [factor * released.terms[name] for name, factor in pair.released.items() if name in released.terms]
        here = [ours.terms[name] for name in pair.ours if name in ours.terms]
        if there or here:
            rows.append(Row(number, pair.name, sum(there), sum(here)))
    rows.append(Row(number, "total", released.terms[TOTALS[method]], sum(ours.terms.values())))
    rows += [Row(number, f"learning rate, {part}", released.rates[part], ours.rates[part]) for part in released.rates]
    rows.append(Row(number, "norm of the pooled features", released.feature, ours.feature))
    rows += _of_weights(number, "norm", released.weights, ours.weights, name_here)
    rows += _of_weights(number, "change since the start", released.moved, ours.moved, name_here)
    title = "gradient from the same weights"
    return rows + _of_weights(number, title, released.gradients, ours.gradients, name_here, same_start=True)


def _of_weights(
    number: int,
    title: str,
    released: Mapping[str, float],
    ours: Mapping[str, float],
    name_here: Callable[[str], str | None],
    same_start: bool = False,
) -> list[Row]:
    """Return the norms of the groups, and the tensor that differs most."""
    pairs: list[tuple[str, float, float]] = []
    for key, value in released.items():
        name = name_here(key)
        if name is not None:
            pairs.append((name, value, ours.get(name, math.nan)))
    # A gradient that is nothing but rounding, of a bias in front of a batch norm, has no relative error; its rounding
    # grows with the whole gradient.
    floor = FLOOR * max(1.0, math.hypot(*(value for _, value, _ in pairs))) if same_start else FLOOR
    groups = {
        "heads": [pair for pair in pairs if _group(pair[0]) == "heads"],
        "rest": [pair for pair in pairs if _group(pair[0]) == "rest"],
        "running statistics": [pair for pair in pairs if _group(pair[0]) == "running statistics"],
    }
    rows = [
        Row(
            number,
            f"{title}, {group}",
            math.hypot(*(a for _, a, _ in of)),
            math.hypot(*(b for _, _, b in of)),
            same_start,
            floor,
        )
        for group, of in groups.items()
        if of
    ]
    each = [Row(number, f"{title}, {name}", a, b, same_start, floor) for name, a, b in pairs]
    most = max(each, key=lambda row: row.difference)
    return [*rows, replace(most, name=f"{most.name} (differs most)")]


def _group(name: str) -> str:
    if name.endswith(("running_mean", "running_var")):
        return "running statistics"
    return "heads" if name.startswith("heads.") else "rest"


def first_difference(rows: Sequence[Row], tolerance: float) -> Row | None:
    """Return the first row that differs by more than the tolerance, or than `STRICT` if both start alike."""
    return next(
        (row for row in rows if row.difference > (min(tolerance, STRICT) if row.same_start else tolerance)), None
    )


def table(rows: Sequence[Row]) -> str:
    """Return the columns of one step or several."""
    lines = [[row.step, row.name, f"{row.released:.12g}", f"{row.ours:.12g}", f"{row.difference:.1e}"] for row in rows]
    return tabulate(lines, ["step", "", "released", "ours", "difference"], disable_numparse=True)
