#!/usr/bin/env bash
# safetensors.numpy scrambles every array that loadmat returns.
#
# Versions:  safetensors 0.8.0, scipy 1.17.1, numpy 2.4.6.
# Expected:  an array that is written and read again is the same array, or an error (safetensors.torch raises one).
# Happens:   safetensors.numpy writes the memory as it lies and the shape as it is. Arrays in column order come back
#            with the right shape and type, and their values in other places. scipy.io.loadmat returns column order
#            always; so do `.T` (needed for MATLAB 7.3 files read with h5py) and some results of linear algebra.
# Matters:   features, distances and splits of this field are MAT files. Features that are converted from one keep
#            their shape and their mean, and rank-1 falls to chance.
# Instead:   np.ascontiguousarray(array) before saving, or np.savez.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
    numpy==2.4.6 scipy==1.17.1 safetensors==0.8.0
cd "$folder"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.io import loadmat, savemat

rng = np.random.default_rng(0)
infrared = rng.normal(size=(200, 64)).astype(np.float32)
visible = infrared + 0.3 * rng.normal(size=infrared.shape).astype(np.float32)


def rank1(query, gallery):
    query, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery))
    return float(np.mean((query @ gallery.T).argmax(1) == np.arange(len(query))))


savemat("features.mat", {"visible": visible})
from_mat = loadmat("features.mat")["visible"]
save_file({"visible": from_mat, "copied": np.ascontiguousarray(from_mat)}, "features.safetensors")
read = load_file("features.safetensors")

print("loadmat returns column order:", from_mat.flags.f_contiguous and not from_mat.flags.c_contiguous)
print("shape and type kept:", read["visible"].shape, read["visible"].dtype)
print("rank-1 from the MAT file:", rank1(infrared, from_mat))
print("rank-1 after safetensors:", rank1(infrared, read["visible"]), " copied first:", rank1(infrared, read["copied"]))
assert np.array_equal(from_mat, visible) and not from_mat.flags.c_contiguous
assert read["visible"].shape == visible.shape and read["visible"].dtype == visible.dtype
assert np.array_equal(read["visible"].ravel(), from_mat.ravel(order="F"))
assert np.array_equal(read["copied"], visible)
assert rank1(infrared, from_mat) == 1.0 and rank1(infrared, read["visible"]) < 0.05
PYTHON
