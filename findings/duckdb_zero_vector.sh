#!/usr/bin/env bash
# DuckDB puts a gallery image without features first in every ranking by cosine similarity.
#
# Versions:  duckdb 2.0.1, numpy 2.4.6.
# Expected:  the similarity to a vector of zeros is 0 or NULL and ranks low, as in FAISS, hnswlib, usearch, Chroma and
#            Qdrant (all 0).
# Happens:   array_cosine_similarity is NaN, and DuckDB orders NaN above every number: ORDER BY ... DESC returns it
#            first and max() is NaN. By array_cosine_distance, ascending, the same row is last.
# Matters:   one image whose features are zeros (a dead channel group, a failed crop stored as zeros) takes rank 1 of
#            all queries, and rank-1 is 0.
# Instead:   order by array_cosine_distance, or filter with `NOT isnan(...)`; refuse zero vectors on entry.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 duckdb==2.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import math

import duckdb
import numpy as np

rng = np.random.default_rng(0)
gallery = rng.normal(size=(50, 16)).astype(np.float32)
queries = gallery + 0.1 * rng.normal(size=gallery.shape).astype(np.float32)
database = duckdb.connect()
database.execute("SET threads = 1")
database.execute("CREATE TABLE gallery (row INTEGER, feature FLOAT[16])")
database.executemany("INSERT INTO gallery VALUES (?, ?)", [[row, x.tolist()] for row, x in enumerate(gallery)])


def rank1(order):
    ask = f"SELECT row FROM gallery ORDER BY {order} LIMIT 1"
    found = [database.execute(ask, [query.tolist()]).fetchone()[0] for query in queries]
    return float(np.mean(np.array(found) == np.arange(50)))


similarity = "array_cosine_similarity(feature, ?::FLOAT[16])"
distance = "array_cosine_distance(feature, ?::FLOAT[16])"
print("rank-1 by similarity:", before := rank1(similarity + " DESC"))
database.execute("INSERT INTO gallery VALUES (50, ?)", [[0.0] * 16])
print("with one row of zeros:", after := rank1(similarity + " DESC"), " by distance:", by_distance := rank1(distance))
best = database.execute(f"SELECT max({similarity}) FROM gallery", [queries[0].tolist()]).fetchone()[0]
print("greatest similarity:", best)
assert (before, after, by_distance) == (1.0, 0.0, 1.0) and math.isnan(best)
PYTHON
