"""The tables of learning with labels and from clusters, and of affinity inference, from rows."""

from typing import Any

from learning_parts.affinity_table import affinity_table
from learning_parts.label_table import cluster_table, epoch_table, label_table
from learning_parts.starts import LABELS


def row(variant: str, seed: int, m_ap: float, tree: str = "SYSUMM01", epochs: int = 3, **more: Any) -> dict[str, Any]:
    curves = {"last": {"clusters": {}}}
    return {"start": LABELS, "tree": tree, "variant": variant, "seed": seed, "epochs": epochs, "Rank-1": m_ap,
            "mAP": m_ap, "mINP": 1.0, "cpu_seconds": 9.0, "curves": curves, **more}  # fmt: skip


def clustered(*across: float) -> dict[str, Any]:
    """Curves of a method with two stages, by the ARI across modalities at each epoch."""
    parts = {"visible": [0.5, 0.25], "infrared": [0.75, 0.125], "across": list(across)}
    clusters = {
        f"{score}_{part}": values for score in ("clusters", "noise", "purity", "ari") for part, values in parts.items()
    }
    first = {"ari_visible": [0.125] * len(across), "ari_infrared": [0.0] * len(across)}
    return {"stage1": {"scores": {"mAP": [3.0, 11.0]}, "clusters": first}, "last": {"clusters": clusters}}


def cells(table: str, people: str, name: str) -> list[str]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    return next(line[2:] for line in lines if line[:2] == [people, name])


ROWS = [
    *(row("supervised", seed, 40.0 + seed) for seed in range(3)),
    *(row("PGM", seed, 30.0 + seed, curves=clustered(0.1, 0.4 + seed)) for seed in range(3)),
    row("PGM", 0, 50.0, "SYSUMM01, 18 people", 12, curves=clustered(0.2)),
    # Of another number of epochs.
    row("PGM", 1, 99.0, "SYSUMM01, 18 people", 3),
]


def test_label_table_compares_with_labels_by_number_of_people() -> None:
    table = label_table(ROWS)
    assert cells(table, "72", "PGM") == ["31.0 ± 1.0", "31.0 ± 1.0", "-10.0", "11.0 ± 0.0", "3", "9"]
    assert cells(table, "72", "supervised")[2:5] == ["", "", "3"]
    assert cells(table, "18", "PGM") == ["50.0", "50.0", "", "11.0", "1", "9"]
    assert cells(table, "72", "ADCA") == [""] * 6
    people = [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")]
    assert people == sorted(people, key=int)
    assert "18 people: Left out so far, seeds in brackets: supervised (0, 1, 2); PGM (1, 2); ADCA (0, 1, 2)." in table


def test_cluster_table_has_the_last_epoch_of_methods_with_clusters() -> None:
    table = cluster_table(ROWS)
    assert "supervised" not in table
    found = cells(table, "72", "PGM")
    assert found[:4] == ["0.2 ± 0.0", "0.1 ± 0.0", "25.0 ± 0.0", "12.5 ± 0.0"]
    assert found[-2:] == ["140.0 ± 100.0", "3"]
    assert cells(table, "18", "PGM")[-2:] == ["20.0", "1"]


def test_affinity_table_pairs_runs_and_marks_a_gain_within_the_spread() -> None:
    def scored(variant: str, seed: int, gain: float, **more: Any) -> dict[str, Any]:
        m_ap = 10.0 * seed
        return row(
            variant,
            seed,
            m_ap,
            start="ImageNet",
            affinity={"Rank-1": m_ap + gain, "mAP": m_ap + gain, "mINP": 2.0},
            **more,
        )

    rows = [scored("one-stream", seed, 4.0 + seed) for seed in range(3)]
    rows += [scored("SAAI", seed, 1.0 + seed) for seed in (-1, 0, 1)]
    rows += [
        scored("AGW", 0, 2.0),
        row("CAJ", 0, 9.0, start="ImageNet"),
        row("DEEN", 0, 9.0, start="ImageNet", affinity={}),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in affinity_table(rows).splitlines()[2:-2]]
    found = {cells[0]: cells[1:] for cells in lines}
    # The spread is that of the gain, not of the scores.
    assert found["one-stream"][3:] == ["+5.0 ± 1.0", "+5.0 ± 1.0", "+1.0 ± 0.0", "3"]
    assert found["SAAI"][4] == "+1.0 ± 1.0 (noise)"
    assert found["AGW"][4] == "+2.0 (one seed)"
    assert not {"CAJ", "DEEN"} & set(found)


def test_epoch_table_follows_clusters_through_both_stages() -> None:
    rows = [row for row in ROWS if row["tree"] == "SYSUMM01"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in epoch_table(rows).splitlines()]
    assert lines[0][3:] == ["stage 1, 1", "stage 1, 2", "stage 2, 1", "stage 2, 2", "runs"]
    assert [line[:3] for line in lines[2:]] == [["72", "PGM", part] for part in ("visible", "infrared", "across")]
    assert lines[2][3:] == ["12.5 ± 0.0", "12.5 ± 0.0", "50.0 ± 0.0", "25.0 ± 0.0", "3"]
    assert lines[4][3:] == ["", "", "10.0 ± 0.0", "140.0 ± 100.0", "3"]
