#!/usr/bin/env bash
# FAISS's IndexShards adds the size of earlier shards to the ids that you gave.
#
# Versions:  faiss-cpu 1.15.1, numpy 2.4.6.
# Expected:  shards with ids of their own (IndexIDMap), searched together, answer with those ids.
# Happens:   successive_ids is True unless said otherwise: every answer of the second shard gets the first one's row
#            count added, of the third one's that of both. Distances are right, the first shard is right, nothing is
#            reported.
# Matters:   one shard per camera or modality is the plain way to keep a gallery. Here all images of the infrared
#            shard answer under other images' ids: 0 of 100 queries find theirs, and ids that exist hide it.
# Instead:   faiss.IndexShards(width, False, False), the last being successive_ids.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 faiss-cpu==1.15.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import faiss
import numpy as np

rng = np.random.default_rng(0)
features = rng.normal(size=(200, 32)).astype(np.float32)
faiss.normalize_L2(features)
ids = np.arange(200)
visible, infrared = ids[:100], ids[100:]


def hits(rows, *successive_ids):
    """Search every gallery row for itself: how many of each modality answer with their own id, and the answers."""
    shards = faiss.IndexShards(32, False, *successive_ids)
    parts = []
    for part in (visible, infrared):
        index = faiss.IndexIDMap(faiss.IndexFlatIP(32))
        index.add_with_ids(features[part], rows[part])
        shards.add_shard(index)
        parts.append(index)
    scores, found = shards.search(features, 1)
    assert np.allclose(scores, 1, atol=1e-5)
    right = found[:, 0] == rows
    return int(right[:100].sum()), int(right[100:].sum()), found[:, 0]


# The visible images carry the odd numbers to 199, the infrared ones the even ones: as a list sorted by identity does.
rows = np.concatenate([np.arange(1, 200, 2), np.arange(0, 200, 2)])
seen, unseen, found = hits(rows)
print(f"default: visible {seen} of 100, infrared {unseen} of 100; row {rows[100]} answers as {found[100]}")
print(f"other images' ids among them: {np.isin(found[100:], rows).sum()}")
assert (seen, unseen) == (100, 0) and (found[100:] == rows[100:] + 100).all()
assert np.isin(found[100:], rows).sum() == 50
seen, unseen, _ = hits(rows, False)
print(f"successive_ids=False: visible {seen} of 100, infrared {unseen} of 100")
assert (seen, unseen) == (100, 100)
PYTHON
