#!/usr/bin/env bash
# usearch fills the answers that a batch search lacks with key 0, a gallery image.
#
# Versions:  usearch 2.26.6, numpy 2.4.6.
# Expected:  where fewer images than asked for are left, the array of keys is shorter or holds a key that no image has
#            (FAISS: -1). A single search does return fewer.
# Happens:   `search(queries, k).keys` is a full (queries, k) array whose missing places hold 0, also after row 0 was
#            removed. Only `.counts`, and the NaN in `.distances`, say so.
# Matters:   `identities[matches.keys]` gives every query false images of the first person in the list. Queries of
#            that person gain true matches: below, four for a person with no image left in the gallery.
# Instead:   cut every row at matches.counts, or take matches[i].keys; start keys at 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 usearch==2.26.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from usearch.index import Index

rng = np.random.default_rng(0)
people = rng.normal(size=(5, 16)).astype(np.float32)
identities = np.repeat(np.arange(5), 4)
gallery = people[identities] + 0.1 * rng.normal(size=(20, 16)).astype(np.float32)

index = Index(ndim=16, metric="cos", dtype="f32")
index.add(np.arange(20), gallery, threads=1)
index.remove(np.flatnonzero(identities == 0))  # the first person leaves the gallery
matches = index.search(people, 20, threads=1)
print("images left", len(index), " keys", matches.keys.shape, " counts", matches.counts)
print("the last keys of every query", np.unique(matches.keys[:, 16:]))
print("and their distances", np.unique(matches.distances[:, 16:]))
assert len(index) == 16 and 0 not in index
assert matches.keys.shape == (5, 20) and matches.counts.tolist() == [16] * 5
assert (matches.keys[:, 16:] == 0).all() and np.isnan(matches.distances[:, 16:]).all()
assert len(matches[0].keys) == 16 and len(index.search(people[0], 20, threads=1).keys) == 16

true = identities[matches.keys] == np.arange(5)[:, None]
print("true matches of each person by key", true.sum(1), " (the first has none left)")
assert true.sum(1).tolist() == [4] * 5
PYTHON
