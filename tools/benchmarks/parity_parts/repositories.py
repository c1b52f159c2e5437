"""The public repositories: their folders, the commits that were read, and the names of their scripts and configs."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Scale:
    """The batches of a comparison.

    Attributes:
        identities: P.
        instances: K, images per identity and modality.
        size: height and width.
        classes: number of identities in the training set.
    """

    identities: int
    instances: int
    size: tuple[int, int]
    classes: int


@dataclass(frozen=True)
class Repository:
    """A public code base.

    Attributes:
        name: owner and name on GitHub.
        commit: the commit that was read and run.
        folder: folder of the method in the repository.
        marks: what identifies the folder: files and words that they contain.
        configs: this package's config by data set.
        layout: the layout that renames its weights, a key of `vireid_plugins.checkpoints.LAYOUTS`, by data set.
        small: batches of the float64 steps.
        recipe: batches of the released recipe.
        tolerance: largest difference of two correct implementations in float64 after `steps`. Adam divides by the root
            of second moments and so amplifies rounding; SGD does not.
        steps: number of steps. After more of IDKL's, rounding moves single activations across the zero of a ReLU, and
            two correct runs diverge from there.
        others: P and K of data sets that have their own.
    """

    name: str
    commit: str
    folder: str
    marks: Mapping[str, str]
    configs: Mapping[str, str]
    layout: Mapping[str, str]
    small: Scale
    recipe: Scale
    tolerance: float = 1e-9
    steps: int = 4
    others: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def small_scale(self, dataset: str) -> Scale:
        """Return the batches of the float64 steps on a data set."""
        return self._on(dataset, self.small)

    def recipe_scale(self, dataset: str) -> Scale:
        """Return the batches of the recipe on a data set."""
        return self._on(dataset, self.recipe)

    def _on(self, dataset: str, scale: Scale) -> Scale:
        identities, instances = self.others.get(dataset, (scale.identities, scale.instances))
        return replace(scale, identities=identities, instances=instances)

    @property
    def link(self) -> str:
        """URL of the commit."""
        return f"https://github.com/{self.name}/tree/{self.commit}/{self.folder}".rstrip("/")


def _configs(method: str, *sets: str) -> dict[str, str]:
    folders = {"sysu": "SYSU", "regdb": "RegDB", "llcm": "LLCM"}
    return {name: f"{folders[name]}/{method}.yml" for name in sets}


ALL = ("sysu", "regdb", "llcm")
_YE = "e817a2672c1e14e8802617acb980a79520ef9545"

REPOSITORIES: dict[str, Repository] = {
    "agw": Repository(
        name="mangye16/Cross-Modal-Re-ID-baseline",
        commit=_YE,
        folder="",
        marks={"train.py": "TripletLoss_WRT()", "model.py": "class Non_local", "eval_metrics.py": "def eval_sysu"},
        configs=_configs("agw", "sysu", "regdb"),
        layout=dict.fromkeys(ALL, "agw"),
        small=Scale(4, 2, (96, 48), 10),
        recipe=Scale(8, 4, (288, 144), 395),
    ),
    "caj": Repository(
        name="mangye16/Cross-Modal-Re-ID-baseline",
        commit=_YE,
        folder="ICCV21_CAJ",
        marks={"train_ext.py": "TripletLoss_ADP", "model.py": "class Non_local", "eval_metrics.py": "def eval_sysu"},
        configs=_configs("caj", "sysu", "regdb"),
        layout=dict.fromkeys(ALL, "agw"),
        small=Scale(4, 2, (96, 48), 10),
        recipe=Scale(8, 4, (288, 144), 395),
    ),
    "deen": Repository(
        name="ZYK100/LLCM",
        commit="886e27caca0f5dbd7424df1ea81b4ad02f95cfb6",
        folder="DEEN",
        marks={"train.py": "CPMLoss", "model.py": "class DEE_module", "eval_metrics.py": "def eval_llcm"},
        configs=_configs("deen", *ALL),
        layout={"sysu": "deen", "regdb": "deen_regdb", "llcm": "deen"},
        small=Scale(4, 2, (96, 48), 10),
        recipe=Scale(6, 4, (384, 144), 395),
    ),
    "idkl": Repository(
        name="1KK077/IDKL",
        commit="8676b620098798662296df17765b6d0bd62c3d4f",
        folder="IDKL",
        marks={"train.py": "Baseline(", "models/baseline.py": "class Baseline", "utils/eval_sysu.py": "def eval_sysu"},
        configs=_configs("idkl_released", *ALL),
        layout=dict.fromkeys(ALL, "idkl"),
        # Its loss applies the weights of SYSU-MM01 only to batches of 120 rows.
        small=Scale(12, 5, (64, 32), 395),
        recipe=Scale(12, 5, (384, 144), 395),
        tolerance=1e-6,
        steps=3,
        others={"regdb": (6, 5)},
    ),
    "mscm": Repository(
        name="Hua-XC/MSCMNet",
        commit="235ae37d2d3402e98d3db32029fb51c4f34cd211",
        folder="",
        marks={"train.py": "QuarCenterTripletLoss", "model.py": "class layerATT", "eval_metrics.py": "def eval_llcm"},
        configs=_configs("mscm_released", *ALL),
        layout=dict.fromkeys(ALL, "mscm"),
        small=Scale(3, 4, (96, 48), 12),
        recipe=Scale(6, 4, (384, 192), 395),
    ),
}


# Identities, visible and infrared images of the training sets.
COUNTS = {"sysu": (395, 22258, 11909), "regdb": (206, 2060, 2060), "llcm": (713, 16946, 13975)}


def spread(dataset: str) -> tuple[list[int], list[int]]:
    """Return labels for all visible and infrared images of a training set, spread evenly over its identities."""
    classes, visible, infrared = COUNTS[dataset]
    return [n % classes for n in range(visible)], [n % classes for n in range(infrared)]


def expected_clones() -> str:
    """Return the methods and the repository that each needs."""
    return ", ".join(
        f"{method} ({one.name}, commit {one.commit[:12]}" + f", folder {one.folder}/" * bool(one.folder) + ")"
        for method, one in REPOSITORIES.items()
    )


def find_folder(method: str, path: Path) -> Path:
    """Return the folder of a method's public code.

    Args:
        method: a key of `REPOSITORIES`.
        path: a clone of the repository, or the folder itself.

    Raises:
        ConfigError: the folder does not exist or is not that of the method; the message describes what is expected.
    """
    from vireid_plugins.errors import ConfigError  # not at the top: --help lists the repositories without torch

    repository = REPOSITORIES[method]
    expected = (
        f"{method} needs a clone of https://github.com/{repository.name} (commit {repository.commit[:12]})"
        + f", whose folder {repository.folder}/ is run" * bool(repository.folder)
    )
    if not path.is_dir():
        raise ConfigError(f"--official: there is no folder '{path}'; {expected}")
    for folder in dict.fromkeys((path / repository.folder, path)):
        if all(_holds(folder / file, words) for file, words in repository.marks.items()):
            return folder.resolve()
    lacking = next(
        file for file, words in repository.marks.items() if not _holds(path / repository.folder / file, words)
    )
    at = f"{repository.folder}/{lacking}" if repository.folder else lacking
    raise ConfigError(f"--official: '{path}' has no {at} with '{repository.marks[lacking]}'; {expected}")


def _holds(file: Path, words: str) -> bool:
    return file.is_file() and words in file.read_text(encoding="utf-8", errors="replace")


def commit_of(folder: Path) -> str:
    """Return the commit that is checked out in a folder, with `-dirty` if files differ.

    It is `unknown` without git, and for files in no commit, such as an archive unpacked inside another checkout.
    """
    if not _git(folder, "ls-files", "."):
        return "unknown"
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"


def _git(folder: Path, *words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""
