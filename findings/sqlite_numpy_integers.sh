#!/usr/bin/env bash
# sqlite3 stores a NumPy integer as eight bytes, so no camera rule in SQL ever holds.
#
# Versions:  numpy 2.4.6 with Python's own sqlite3 (seen with Python 3.11).
# Expected:  identities and cameras put into INTEGER columns come back as integers, and `cam <> 2` hides camera 2.
# Happens:   sqlite3 binds np.int64 as a BLOB, and the INTEGER column keeps it as one, without a word. `cam = 2`
#            matches no row, and `cam <> 2` and `NOT (pid = 7 AND cam = 2)` match all. A lookup with another np.int64
#            does find the row (equal bytes), so a test that writes and reads with NumPy passes; np.int32 finds
#            nothing again.
# Matters:   a gallery's metadata comes from NumPy arrays. SYSU-MM01 hides the gallery images of camera 2 from queries
#            of camera 3, which stands at the same place; other protocols hide the query's own camera. With the rule
#            lost, the image that should be hidden ranks first.
# Instead:   pass `array.tolist()` or `int(value)`, and declare the table STRICT: it refuses the bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3

import numpy as np

names = ["near", "far", "other"]
pids = np.array([7, 7, 9])
cams = np.array([2, 1, 4])
distances = [0.1, 0.5, 0.9]


def gallery(pids, cams, strict=""):
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE gallery (name TEXT, pid INTEGER, cam INTEGER, distance REAL) {strict}")
    database.executemany("INSERT INTO gallery VALUES (?, ?, ?, ?)", zip(names, pids, cams, distances))
    return database


def ask(database, condition, *values):
    rows = database.execute(f"SELECT name FROM gallery WHERE {condition} ORDER BY distance", values)
    return [name for (name,) in rows]


wrong, right = gallery(pids, cams), gallery(pids.tolist(), cams.tolist())
stored = [kind for (kind,) in wrong.execute("SELECT typeof(cam) FROM gallery")]
print("stored as", stored)
assert stored == ["blob"] * 3
for rule in ("cam <> 2", "NOT (pid = 7 AND cam = 2)", "cam = 2"):
    print(f"{rule:26} NumPy {ask(wrong, rule)}, Python {ask(right, rule)}")
assert ask(wrong, "cam <> 2") == ask(wrong, "NOT (pid = 7 AND cam = 2)") == ["near", "far", "other"]
assert ask(right, "cam <> 2") == ask(right, "NOT (pid = 7 AND cam = 2)") == ["far", "other"]
assert ask(wrong, "cam = 2") == [] and ask(right, "cam = 2") == ["near"]

same, narrow = ask(wrong, "cam = ?", np.int64(2)), ask(wrong, "cam = ?", np.int32(2))
print("asked with np.int64:", same, " with np.int32:", narrow)
assert same == ["near"] and narrow == []

if sqlite3.sqlite_version_info >= (3, 37):
    try:
        gallery(pids, cams, "STRICT")
    except sqlite3.IntegrityError as error:
        print("STRICT:", error)
    else:
        raise AssertionError("a STRICT table takes the bytes too")
PYTHON
