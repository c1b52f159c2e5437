#!/usr/bin/env bash
# torchvision.transforms.v2 leaves the infrared image of a (visible, infrared) pair as it is.
#
# Versions:  torch 2.13.0, torchvision 0.28.0, numpy 2.4.6, Pillow 13.0.0.
# Expected:  a v2 pipeline that is called with two images treats both, with the same random numbers: what v2 is made
#            for.
# Happens:   plain tensors are a special case: the first one is the image, all others pass through. ToTensor and
#            PILToTensor return plain tensors, so with the pipeline that everybody has, PIL images are resized
#            together, and from there on only the visible one is flipped and normalized. Both are float32 of
#            one shape. A dictionary does the same: its first tensor is the image.
# Matters:   paired input is this field's. The infrared branch trains on images in 0 to 1 and is tested on normalized
#            ones, flips no longer agree, and no shape or type shows it.
# Instead:   v2.ToImage() and v2.ToDtype(torch.float32, scale=True) in place of ToTensor(), and look at both outputs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
    numpy==2.4.6 pillow==13.0.0 torch==2.13.0 torchvision==0.28.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch
from PIL import Image

# A CPU build of torch beside a CUDA build of torchvision lacks torchvision's operators, which no transform here uses.
register = torch.library.register_fake


def register_if_known(name, *rest, **options):
    decorate = register(name, *rest, **options)

    def apply(function):
        try:
            return decorate(function)
        except RuntimeError:
            return function

    return apply


torch.library.register_fake = register_if_known
from torchvision.transforms import v2

picture = np.zeros((16, 8, 3), np.uint8)
picture[:, :4] = 200
visible = infrared = Image.fromarray(picture)
mean, deviation = [0.5] * 3, [0.5] * 3
end = [v2.RandomHorizontalFlip(1.0), v2.Normalize(mean, deviation)]
usual = v2.Compose([v2.Resize((32, 16)), v2.ToTensor(), *end])
right = v2.Compose([v2.Resize((32, 16)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), *end])


def describe(image):
    return tuple(image.shape), image.dtype, round(float(image[0, 0, 0]), 3), round(float(image[0, 0, -1]), 3)


first, second = usual(visible, infrared)
print("ToTensor: visible ", *describe(first))
print("ToTensor: infrared", *describe(second))
assert first.shape == second.shape and first.dtype == second.dtype == torch.float32
assert float(first.min()) == -1.0 and float(second.min()) == 0.0
assert first[0, 0, 0] < first[0, 0, -1] and second[0, 0, 0] > second[0, 0, -1]

named = usual({"visible": visible, "infrared": infrared})
print("in a dictionary: visible", float(named["visible"].min()), " infrared", float(named["infrared"].min()))
assert float(named["visible"].min()) == -1.0 and float(named["infrared"].min()) == 0.0

first, second = right(visible, infrared)
print("ToImage: equal", torch.equal(first, second), *describe(second))
assert torch.equal(first, second) and float(second.min()) == -1.0
PYTHON
