#!/usr/bin/env bash
# scipy reads MAT files with other types than were written: masks pick rows, labels wrap around, names grow blanks.
#
# Versions:  scipy 1.17.1, numpy 2.4.6.
# Expected:  a boolean mask is a boolean mask, MATLAB's double labels are float64, names are the names.
# Happens:   1. np.bool_ saved with savemat comes back as uint8. `distances[mask]` then takes rows 0 and 1 again and
#               again instead of choosing rows, and `~mask` is 254 and 255.
#            2. MATLAB and Octave keep a double array of whole numbers in the smallest integer type that holds it, and
#               loadmat returns that type: labels to 255 are uint8. With NumPy 2, `labels + 206` wraps around
#               silently.
#            3. A list of names is saved as one character matrix: short names come back with blanks at their end.
# Matters:   splits, permutations, "good" and "junk" masks and file lists of this field are MAT files. Infrared
#            classes numbered after RegDB's 206 visible ones collide; a mask that works before saving scores two rows
#            after it.
# Instead:   loadmat(..., mat_dtype=True) gives double for double and bool for logical; save masks with np.save, names
#            as an object array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import struct

import numpy as np
from scipy.io import loadmat, savemat

distances = np.array([0.9, 0.1, 0.8, 0.2])
keep = np.array([False, True, False, True])
names = ["1.jpg", "10.jpg", "100.jpg"]
savemat("split.mat", {"keep": keep, "names": names, "cells": np.array(names, dtype=object)})
split = loadmat("split.mat", squeeze_me=True)

print("mask:", split["keep"].dtype, " chosen before:", distances[keep], " after:", distances[split["keep"]])
print("inverted:", ~split["keep"])
assert split["keep"].dtype == np.uint8
assert distances[keep].tolist() == [0.1, 0.2] and distances[split["keep"]].tolist() == [0.9, 0.1, 0.9, 0.1]
assert (~split["keep"]).tolist() == [255, 254, 255, 254]
assert loadmat("split.mat", squeeze_me=True, mat_dtype=True)["keep"].tolist() == keep.tolist()

print("names:", split["names"].tolist(), " found:", [name in names for name in split["names"]])
assert [name in names for name in split["names"].tolist()] == [False, False, True]
assert split["cells"].tolist() == names


def element(kind: int, data: bytes) -> bytes:
    """Return one element of the MAT 5 format, padded to eight bytes."""
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


# As MATLAB writes `id = [1 2 200]` with save -v6: the class is double (6), the values are stored as uint8 (2).
flags, shape = element(6, struct.pack("<II", 6, 0)), element(5, struct.pack("<ii", 1, 3))
matrix = element(14, flags + shape + element(1, b"id") + element(2, bytes([1, 2, 200])))
header = b"MATLAB 5.0 MAT-file".ljust(116) + b"\0" * 8 + struct.pack("<H", 0x0100) + b"IM"
with open("labels.mat", "wb") as file:
    file.write(header + matrix)
labels = loadmat("labels.mat", squeeze_me=True)["id"]
doubles = loadmat("labels.mat", squeeze_me=True, mat_dtype=True)["id"]
print("labels:", labels.dtype, labels, " + 206:", labels + 206, " with mat_dtype:", doubles.dtype, doubles + 206)
assert labels.dtype == np.uint8 and (labels + 206).tolist() == [207, 208, 150]
assert doubles.dtype == np.float64 and (doubles + 206).tolist() == [207, 208, 406]
PYTHON
