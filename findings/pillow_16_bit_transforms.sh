#!/usr/bin/env bash
# Pillow works on the bytes of a 16-bit thermal image in rotate, transform, paste and ImageStat.
#
# Versions:  Pillow 13.0.0, numpy 2.4.6, on a little-endian machine.
# Expected:  a thermal image that is 30,000 everywhere is 30,000 after a rotation, or Pillow raises, as it does for
#            filters, ImageEnhance and ImageOps.autocontrast in mode I;16.
# Happens:   rotate and transform (affine and perspective) with BILINEAR or BICUBIC mix the low and the high bytes:
#            values of 48 to 116 where 30,000 was, in an image that is still I;16. paste(30000, box) writes 12336 (the
#            low byte, twice). ImageStat and histogram count bytes: mean 82.5. NEAREST, resize, crop and ImageDraw are
#            right.
# Matters:   16-bit PNG is what thermal cameras give, and rotation, affine jitter, padding and erasing are this
#            field's augmentations. Training images turn to near black noise, test images do not; nothing fails.
# Instead:   stretch to 8 bits first, or image.convert("F"), which rotates and transforms right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from PIL import Image, ImageStat

Image.fromarray(np.full((64, 32), 30000, np.uint16)).save("thermal.png")
image = Image.open("thermal.png")
half_pixel = (1, 0, 0.5, 0, 1, 0.5)


def middle(picture):
    values = np.asarray(picture)[20:40, 10:20]
    return float(values.min()), float(values.max())


print("mode", image.mode, middle(image))
assert image.mode == "I;16"
for name in ("NEAREST", "BILINEAR", "BICUBIC"):
    rule = Image.Resampling[name]
    rotated = image.rotate(5, rule)
    moved = image.transform(image.size, Image.Transform.AFFINE, half_pixel, rule)
    warped = image.transform(image.size, Image.Transform.PERSPECTIVE, (*half_pixel, 0, 0), rule)
    print(name, "rotate", middle(rotated), "affine", middle(moved), "perspective", middle(warped), rotated.mode)
    assert rotated.mode == "I;16"
    for picture in (rotated, moved, warped):
        least, most = middle(picture)
        assert (least == most == 30000) if name == "NEAREST" else (most < 256), (name, least, most)
assert middle(image.resize((16, 32), Image.Resampling.BICUBIC)) == (30000, 30000)
floating = image.convert("F").rotate(5, Image.Resampling.BILINEAR)
print("BILINEAR in mode F: rotate", middle(floating))
assert middle(floating) == (30000, 30000)

erased = image.copy()
erased.paste(30000, (8, 8, 24, 24))
print("paste(30000):", np.unique(np.asarray(erased)))
assert np.unique(np.asarray(erased)).tolist() == [12336, 30000]

statistics = ImageStat.Stat(image)
print("ImageStat: mean", statistics.mean, "extrema", statistics.extrema)
assert statistics.mean == [82.5] and statistics.extrema == [(48, 117)]
PYTHON
