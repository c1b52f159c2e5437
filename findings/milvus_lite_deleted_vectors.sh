#!/usr/bin/env bash
# milvus-lite keeps the vectors of deleted images in its files, also after flush, compact and closing.
#
# Versions:  milvus-lite 3.2.2, pymilvus 3.0.2, numpy 2.4.6, pyarrow 25.0.1 (seen with Python 3.11).
# Expected:  `compact` rewrites what has deleted rows without them, as Milvus describes it; after it and a flush a deleted
#            vector is on the disk no more.
# Happens:   deleted rows are only marked in a file beside the data. Search and query find them no more, `compact`
#            answers 0 and changes no file, and vector and path of every deleted image can be read from the Parquet
#            file of the data; the vectors are in the file of the index, too. So it stays when another process opens
#            the database, compacts and closes it. Only when later inserts make it merge small files do they go.
# Matters:   a vector finds further pictures of a person, and a path often names one. Somebody whose images were
#            "deleted" from an embedded database, and who asked for it, is still in it, in every backup and copy.
# Instead:   copy what stays into a new collection, drop the old one, and look into the files; or keep vectors where
#            deleting overwrites (a database of SQLite with `PRAGMA secure_delete = ON`, a file written anew).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
    milvus-lite==3.2.2 pymilvus==3.0.2 numpy==2.4.6 pyarrow==25.0.1
cd "$folder"
cat > people.py <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient

PEOPLE, IMAGES, WIDTH, GONE = 50, 4, 64, 7
vectors = np.random.default_rng(0).normal(size=(PEOPLE * IMAGES, WIDTH)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
rows = [
    {"id": n, "person": n // IMAGES, "path": f"/photos/person-{n // IMAGES:03}/{n}.jpg", "vector": vectors[n]}
    for n in range(len(vectors))
]
theirs = [row for row in rows if row["person"] == GONE]


def create(client, name):
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("person", DataType.INT64)
    schema.add_field("path", DataType.VARCHAR, max_length=200)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=WIDTH)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def found(client, name):
    """Images of the person among the nearest to their own vectors, and by a query."""
    client.load_collection(name)
    hits = client.search(name, [row["vector"] for row in theirs], limit=5, output_fields=["person"])
    near = sum(hit["entity"]["person"] == GONE for row in hits for hit in row)
    return near, len(client.query(name, filter=f"person == {GONE}", output_fields=["path"]))


def on_disk():
    """Of the person's images: vectors as bytes in any file, and paths in tables of Parquet."""
    files = [file for file in Path("people.db").rglob("*") if file.is_file()]
    contents = [file.read_bytes() for file in files]
    paths = set()
    for file in files:
        if file.suffix == ".parquet":
            table = parquet.read_table(file)
            if "path" in table.column_names:
                paths |= set(table["path"].to_pylist())
    held = sum(any(row["vector"].tobytes() in one for one in contents) for row in theirs)
    return held, len(paths & {row["path"] for row in theirs})


client = MilvusClient("people.db")
match sys.argv[1]:
    case "delete":
        create(client, "people")
        client.insert("people", rows)
        client.flush("people")
        assert found(client, "people")[1] == IMAGES
        client.delete("people", filter=f"person == {GONE}")
        client.flush("people")
        print("compact answers", client.compact("people"))
        seen = found(client, "people")
    case "open again":
        client.load_collection("people")
        client.flush("people")
        client.compact("people")
        seen = found(client, "people")
    case "copy":
        create(client, "others")
        client.load_collection("people")
        kept = client.query("people", filter="id >= 0", output_fields=["id", "person", "path", "vector"])
        client.insert("others", [dict(row) for row in kept])
        client.flush("others")
        client.drop_collection("people")
        seen = found(client, "others")
        assert len(kept) == (PEOPLE - 1) * IMAGES
client.close()
server_manager_instance.release_server("people.db")
held = on_disk()
print(f"{sys.argv[1]:10}  found by search {seen[0]}, by query {seen[1]}; in the files {held[0]} vectors, {held[1]} paths")
assert seen == (0, 0)
assert held == ((0, 0) if sys.argv[1] == "copy" else (IMAGES, IMAGES))
PYTHON
for step in delete "open again" copy; do
    OMP_NUM_THREADS=1 "$folder/venv/bin/python" people.py "$step"
done
