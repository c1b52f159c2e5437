#!/usr/bin/env bash
# Chroma returns rows in another order than asked for, keeps the old vector of an id that is added again and ignores
# the metric asked for where the collection exists.
#
# Versions:  chromadb 1.5.9, numpy 2.4.6.
# Expected:  get(ids=[...]) answers in that order; add() of a known id replaces or raises; get_or_create_collection
#            with another metric raises.
# Happens:   1. get() answers in the order of insertion. Paired with the ids asked for, rows belong to other images.
#            2. add() of a known id keeps the old vector and metadata and returns as if it had been stored.
#            3. get_or_create_collection(..., cosine) hands back the squared Euclidean collection.
# Matters:   a gallery that is filled again after training goes on answering with the old network's features, and
#            scores computed from features fetched by id are those of shuffled images: rank-1 falls to chance.
# Instead:   index the answer by its "ids"; upsert(); read collection.configuration, or create_collection.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 chromadb==1.5.9
cd "$folder"
OMP_NUM_THREADS=1 ANONYMIZED_TELEMETRY=False "$folder/venv/bin/python" - <<'PYTHON'
import chromadb
import numpy as np

rng = np.random.default_rng(0)
infrared = rng.normal(size=(100, 32)).astype(np.float32)
visible = infrared + 0.3 * rng.normal(size=infrared.shape).astype(np.float32)
names = [f"image{row}" for row in range(100)]

client = chromadb.EphemeralClient()
gallery = client.create_collection("gallery")
gallery.add(ids=names, embeddings=visible)


def rank1(features, order):
    """Score features that were asked for in an order of rows against the infrared image of the same row."""
    cosines = infrared[order] @ features.T / np.linalg.norm(features, axis=1)
    return float(np.mean(cosines.argmax(1) == np.arange(len(order))))


order = rng.permutation(100)
answer = gallery.get(ids=[names[row] for row in order], include=["embeddings"])
features = np.asarray(answer["embeddings"])
place = {name: row for row, name in enumerate(answer["ids"])}
sorted_again = features[[place[names[row]] for row in order]]
print(f"rank-1 of the rows as they come: {rank1(features, order)}, by their ids: {rank1(sorted_again, order)}")
assert answer["ids"] == names
assert rank1(features, order) < 0.1 and rank1(sorted_again, order) == 1.0

gallery.add(ids=names, embeddings=-visible)
kept = np.asarray(gallery.get(ids=["image3"], include=["embeddings"])["embeddings"])[0]
print("after add() of new features the old ones are there:", np.allclose(kept, visible[3], atol=1e-5))
assert np.allclose(kept, visible[3], atol=1e-5)
gallery.upsert(ids=names, embeddings=-visible)
kept = np.asarray(gallery.get(ids=["image3"], include=["embeddings"])["embeddings"])[0]
assert np.allclose(kept, -visible[3], atol=1e-5)

again = client.get_or_create_collection("gallery", configuration={"hnsw": {"space": "cosine"}})
metric = again.configuration["hnsw"]["space"]
distance = again.query(query_embeddings=-infrared[:1], n_results=1)["distances"][0][0]
squared = float(((infrared[0] - visible[0]) ** 2).sum())
print(f"asked for cosine, got {metric}: distance {distance:.3f}, squared Euclidean {squared:.3f}")
assert metric == "l2" and abs(distance - squared) < 1e-3
PYTHON
