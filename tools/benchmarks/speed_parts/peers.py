"""Scores from features, by this package and by what people use: fast-reid's Cython and the released code of AGW.

The released code runs where VIREID_RELEASED names the folder of its clones, fast-reid's Cython where Cython and a
compiler are installed.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastreid.evaluation
import numpy as np

from speed_parts.measure import Subject
from speed_parts.scoring import OFFICIAL, matrices, real_test_set, rerank_fastreid, rerank_here
from speed_parts.sizes import SMALLEST
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.protocols import PROTOCOLS
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats, Labels

RELEASED = os.environ.get("VIREID_RELEASED", "")
FOLDER = "Cross-Modal-Re-ID-baseline"
DATASET = "SYSUMM01"


def _here(folder: Path, device: str) -> Callable[[], object]:
    protocols = [PROTOCOLS[name] for name in OFFICIAL]
    dataset, features, paths = real_test_set(folder, DATASET)
    return lambda: score(features, paths, EvaluationPlan(dataset, protocols), device=device)


def _trials(folder: Path) -> list[tuple[Floats, Floats, Labels, Labels]]:
    """Return the normalized features and the labels of queries and gallery of every trial."""
    dataset, features, paths = real_test_set(folder, DATASET)
    plan = EvaluationPlan(dataset, [PROTOCOLS[name] for name in OFFICIAL]).draw()
    of = matrices(plan, features, paths)
    found = []
    for protocol in plan.protocols:
        query, gallery = sides(protocol)
        for rows, columns in plan.trials(protocol):
            labels = plan.images.labels_at(query, rows), plan.images.labels_at(gallery, columns)
            found.append((of[query][rows], of[gallery][columns], *labels))
    return found


def _released(folder: Path, device: str) -> Callable[[], object]:
    trials = _trials(folder)
    sys.path.insert(0, str(Path(RELEASED) / FOLDER))
    evaluate: Any = importlib.import_module("eval_metrics").eval_sysu

    def run() -> None:
        for left, right, query, gallery in trials:
            # Its features are float64, as numpy.zeros makes them.
            similarity = np.matmul(left.astype(np.float64), right.astype(np.float64).T)
            evaluate(-similarity, query.ids, gallery.ids, query.cams, gallery.cams)

    return run


def _cython(folder: Path, device: str) -> Callable[[], object]:
    trials = _trials(folder)
    module = _compiled(folder)

    def run() -> None:
        for left, right, query, gallery in trials:
            labels = (query.ids, gallery.ids, query.cams, gallery.cams)
            module.evaluate_cy(1 - left @ right.T, *labels, 50, False)

    return run


def _compiled(folder: Path) -> Any:
    """Return fast-reid's `rank_cy`, compiled in a scratch folder."""
    source = Path(fastreid.evaluation.__file__).parent / "rank_cylib" / "rank_cy.pyx"
    build = folder / "cython"
    build.mkdir(exist_ok=True)
    (build / "rank_cy.pyx").write_text(source.read_text())
    (build / "setup.py").write_text(
        "import numpy\nfrom Cython.Build import cythonize\nfrom setuptools import Extension, setup\n"
        "setup(ext_modules=cythonize([Extension('rank_cy', ['rank_cy.pyx'], include_dirs=[numpy.get_include()])]))\n"
    )
    if not list(build.glob("rank_cy*.so")):
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=build, check=True, capture_output=True
        )
    sys.path.insert(0, str(build))
    return importlib.import_module("rank_cy")


def _subjects() -> Iterator[Subject]:
    task = f"SYSU-MM01, the four official protocols, {10 * len(OFFICIAL)} trials"
    yield Subject(task, "this package", _here)
    if importlib.util.find_spec("Cython") and not SMALLEST:
        yield Subject(task, "fast-reid, Cython", _cython, slow=True)
    if RELEASED and not SMALLEST:
        yield Subject(task, "released AGW", _released, slow=True)
    task = "re-ranking of one trial of sysu/official/all/1shot"
    yield Subject(task, "this package", rerank_here)
    yield Subject(task, "fast-reid", rerank_fastreid, slow=True)


SUBJECTS = list(_subjects())
