#!/usr/bin/env bash
# hnswlib overwrites stored images when some rows are added with ids and later rows without.
#
# Versions:  hnswlib 0.8.0 (built from source: needs a C++ compiler), numpy 2.4.6.
# Expected:  rows added without ids get ids that are free, or an error.
# Happens:   they get the numbers from the row count on, whether those are taken or not. A taken id gets the new
#            vector: 1,000 rows with ids 500 to 1499 and 1,000 without leave 1,500 rows, and 500 old ids hold
#            strangers.
# Matters:   a gallery starts from a list with ids of its own (image numbers, database keys) and then grows. Half of
#            the people enrolled first are gone, and their ids answer for somebody else.
# Instead:   give ids in every call, or in none; compare get_current_count() with the rows added.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 hnswlib==0.8.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import hnswlib
import numpy as np

rng = np.random.default_rng(0)
first = rng.normal(size=(1000, 32)).astype(np.float32)
later = rng.normal(size=(1000, 32)).astype(np.float32)
ids = np.arange(500, 1500)

index = hnswlib.Index("cosine", 32)
index.init_index(2000)
index.set_num_threads(1)
index.set_ef(200)
index.add_items(first, ids)
before = float(np.mean(index.knn_query(first, k=1)[0][:, 0] == ids))
index.add_items(later)
after = float(np.mean(index.knn_query(first, k=1)[0][:, 0] == ids))
print(f"rows added 2000, rows kept {index.get_current_count()}")
print(f"people enrolled first that find themselves: {before:.3f} before, {after:.3f} after")
assert index.get_current_count() == 1500
assert before > 0.99 and 0.45 < after <= 0.5
stored = np.array(index.get_items([1200]))[0]
print("id 1200 now holds the later row", int(np.argmax(later @ stored / np.linalg.norm(later, axis=1))))
assert np.argmax(later @ stored / np.linalg.norm(later, axis=1)) == 200
PYTHON
