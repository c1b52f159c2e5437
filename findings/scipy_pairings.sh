#!/usr/bin/env bash
# scipy's permutation_test with permutation_type="pairings" answers p = 1 for paired scores, whatever they are.
#
# Versions:  scipy 1.17.1, numpy 2.4.6.
# Expected:  two methods scored on the same ten gallery draws are paired samples, and "pairings" tests their mean
#            difference.
# Happens:   "pairings" shuffles which score goes with which. That leaves the mean difference as it is, so p is 1.0
#            for a method that is a point better in all ten draws. The paired test is called "samples" (p = 2/1024
#            here).
# Matters:   SYSU-MM01 is scored over ten draws, and methods are compared by their mean. A clear gain reads as none.
# Instead:   permutation_type="samples".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 scipy==1.17.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.stats import permutation_test

rng = np.random.default_rng(0)
baseline = rng.normal(50, 2, size=10)
better = baseline + 1 + rng.normal(0, 0.05, size=10)


def mean_difference(x, y, axis=-1):
    return np.mean(x - y, axis=axis)


p = {}
for kind in ("samples", "independent", "pairings"):
    p[kind] = permutation_test(
        (better, baseline), mean_difference, permutation_type=kind, vectorized=True, n_resamples=9999, rng=0
    ).pvalue
    print(f"{kind:12} p = {p[kind]:.4f}")
print("better in", int((better > baseline).sum()), "of 10 draws")
assert (better > baseline).all()
assert abs(p["samples"] - 2 / 1024) < 1e-9 and p["pairings"] == 1.0 and p["independent"] > 0.05
PYTHON
