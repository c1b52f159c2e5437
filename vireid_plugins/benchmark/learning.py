"""Does it learn? Every method, and the ablations of two, on the same synthetic people with the same number of images.

A run starts from random weights and is short: the table says whether a part helps a small network within minutes, which
is where a defect shows, and nothing about real data.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from vireid_plugins.benchmark.measure import environment
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data.synthetic import LAYOUTS, RegdbSize, SysuSize
from vireid_plugins.errors import BenchmarkError

SCORES = ("Rank-1", "mAP", "mINP")
# For every run: smaller than the demo, so that the slowest method ends within about a minute on two cores.
SMALL = [
    "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "SOLVER.IMS_PER_BATCH", "32", "MODEL.DEVICE", "cpu",
    "DATALOADER.NUM_WORKERS", "0", "TEST.COMPARE_RANDOM", "False", "MODEL.MSCM.HEAD_DIM", "4",
]  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """A synthetic tree and what is trained and scored on it.

    Attributes:
        size: of the tree.
        epochs: the budget, so that a run sees about 5,500 images.
        protocol: whose scores are kept.
        overrides: of the demo's configurations, which are for SYSU-MM01.
    """

    size: Any
    epochs: int
    protocol: str
    overrides: tuple[str, ...] = ()


TREES = {
    "SYSUMM01": Tree(
        SysuSize(train=64, val=8, test=48, images=6, height=96, width=48), 2, "sysu/official/all/1shot"
    ),
    "RegDB": Tree(
        RegdbSize(identities=140, images=10, height=96, width=48), 4, "regdb/v2i",
        ("DATASETS.NAMES", "('RegDB',)", "DATASETS.TESTS", "('RegDB',)", "TEST.PRECISE_BN.DATASET", "RegDB"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A row of the table: a configuration of configs/demo and what is changed in it."""

    name: str
    config: str
    overrides: tuple[str, ...] = ()


def _idkl(name: str, *losses: str, purify: bool = True) -> Variant:
    """Return a row of the paper's table 4: the losses of every row, and these."""
    names = str(["LabelSmoothCE", "HardTriplet", "ModalityHeads", *losses])
    return Variant(name, "idkl", ("MODEL.LOSSES.NAME", names, "MODEL.IDKL.PURIFY", str(purify)))


METHODS = tuple(
    Variant(name, config)
    for name, config in {
        "one-stream": "one_stream", "AGW": "agw", "CAJ": "caj", "DEEN": "deen", "WRIM-Net": "wrim", "IDKL": "idkl",
        "IDKL, released": "idkl_released", "MSCMNet": "mscm", "ICRE": "icre",
    }.items()
)  # fmt: skip
_NO_MIIM = tuple(word for stage in range(1, 5) for word in (f"MODEL.ATTENTION.STAGE{stage}", "[]"))
_NO_CMKIC = ("MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet']", "MODEL.HEADS.PROJECTION_DIM", "0")
ABLATIONS = (
    Variant("WRIM-Net without MIIM", "wrim", _NO_MIIM),
    Variant("WRIM-Net without CMKIC", "wrim", _NO_CMKIC),
    Variant("WRIM-Net without either", "wrim", (*_NO_MIIM, *_NO_CMKIC)),
    Variant("WRIM-Net, shared MIIM", "wrim", ("MODEL.ATTENTION.MIIM.SEPARATE", "[False, False, False, False]")),
    Variant("WRIM-Net, gate F * G", "wrim", ("MODEL.ATTENTION.MIIM.RESIDUAL", "False")),
    _idkl("IDKL: base", purify=False),
    _idkl("IDKL: tgsa", "TGSA", purify=False),
    _idkl("IDKL: ip + tgsa", "Purifier", "TGSA"),
    _idkl("IDKL: ip + csa", "Purifier", "CSA"),
    _idkl("IDKL: ip + mdr", "Purifier", "MDR"),
)
VARIANTS = {variant.name: variant for variant in (*METHODS, *ABLATIONS)}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        tree: a key of TREES.
        variant: a key of VARIANTS.
        seed: of weights, sampler and augmentation.
        epochs: the budget.
    """

    tree: str
    variant: str
    seed: int
    epochs: int

    def key(self) -> tuple[str, str, int, int]:
        """Return what tells runs apart."""
        return self.tree, self.variant, self.seed, self.epochs

    def overrides(self) -> list[str]:
        """Return what is changed in the configuration."""
        tree, variant = TREES[self.tree], VARIANTS[self.variant]
        budget = ["SOLVER.MAX_EPOCH", str(self.epochs), "SOLVER.STEPS", str([max(1, self.epochs // 2)])]
        last = ["TEST.EVAL_PERIOD", str(self.epochs), "SOLVER.CHECKPOINT_PERIOD", str(self.epochs)]
        chosen = ["TEST.PROTOCOLS", str([tree.protocol]), "SEED", str(self.seed)]
        return [*SMALL, *tree.overrides, *budget, *last, *chosen, *variant.overrides]

    def cfg(self) -> CfgNode:
        """Return the run's configuration."""
        cfg = get_cfg()
        cfg.merge_from_file(config_path(f"demo/{VARIANTS[self.variant].config}.yml"))
        cfg.merge_from_list(self.overrides())
        return cfg


def runs(trees: Iterable[str], variants: Iterable[str], seeds: int, epochs: int = 0) -> list[Run]:
    """Return all runs, seed by seed, so that an early end leaves whole columns; 0 epochs is each tree's budget."""
    names = list(variants)
    return [
        Run(tree, name, seed, epochs or TREES[tree].epochs) for tree in trees for seed in range(seeds) for name in names
    ]


def make_tree(name: str, root: Path) -> None:
    """Write a tree below `root`, unless it is there."""
    layout = LAYOUTS[name]
    if not (root / layout.folder).is_dir():
        layout.write(root / layout.folder, TREES[name].size, 0)


def train(run: Run, root: Path, train_net: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train and score in a process of its own with one thread, with which a run repeats to the digit.

    Args:
        run: which.
        root: data root with the tree.
        train_net: the command line that trains.
        overrides: of the configuration besides.

    Returns:
        the run, its scores in percent, seconds and environment.

    Raises:
        BenchmarkError: the training failed; the message ends with its last lines.
    """
    config = config_path(f"demo/{VARIANTS[run.variant].config}.yml")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(train_net), "--config-file", str(config), *run.overrides(), "OUTPUT_DIR", folder]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, "DATALOADER.CACHE", str(root / "cache"), *overrides],
            env={**os.environ, "FASTREID_DATASETS": str(root), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise BenchmarkError(f"{run.variant}, seed {run.seed} on {run.tree} ended with {done.returncode}:\n{last}")
        report = json.loads((Path(folder) / "evaluation.json").read_text(encoding="utf-8"))
    scores = {name: round(report["results"][0]["mean"][name], 2) for name in SCORES}
    where = environment("cpu")
    return {
        **dict(zip(("tree", "variant", "seed", "epochs"), run.key(), strict=True)),
        **scores,
        "seconds": round(seconds, 1),
        **{key: where[key] for key in ("device", "torch", "commit")},
    }


def expectation(rows: Sequence[dict[str, Any]], run: Run) -> list[str]:
    """Return overrides that make a run fail outside of three standard deviations of its variant's finished seeds.

    Args:
        rows: of `read_rows`.
        run: of a variant and tree with at least two finished seeds.
    """
    found = [row["mAP"] for row in rows if row["key"][:2] == (run.tree, run.variant) and row["epochs"] == run.epochs]
    row = [run.tree, "mAP", round(mean(found), 2), round(3 * stdev(found), 2)]
    return ["TEST.EXPECTED_RESULTS", str([row])]


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of finished runs; none where there is no file.

    Raises:
        BenchmarkError: a line is not a row.
    """
    if not file.is_file():
        return []
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            rows.append({**row, "key": (row["tree"], row["variant"], row["seed"], row["epochs"])})
        except (json.JSONDecodeError, KeyError) as error:
            raise BenchmarkError(f"'{file}' line {number} is not a finished run ({error}); delete the line") from None
    return rows


def table(rows: Sequence[dict[str, Any]], tree: str, epochs: int = 0) -> str:
    """Return one row a variant: mean and standard deviation over its seeds, empty where nothing has run."""
    body = []
    for name in VARIANTS:
        found = [
            row for row in rows if row["tree"] == tree and row["variant"] == name
            and row["epochs"] == (epochs or TREES[tree].epochs)
        ]  # fmt: skip
        cells = [_cell([row[score] for row in found]) for score in SCORES]
        # Without a number where the machine did other things meanwhile.
        seconds = [row["seconds"] for row in found if row["seconds"] is not None]
        body.append([name, *cells, len(found) or "", f"{mean(seconds):.0f}" if seconds else ""])
    return tabulate(body, ["variant", *SCORES, "seeds", "seconds"], tablefmt="github", disable_numparse=True)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")
