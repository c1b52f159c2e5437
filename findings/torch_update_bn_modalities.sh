#!/usr/bin/env bash
# torch.optim.swa_utils.update_bn loses the difference between the modalities when each batch holds one.
#
# Versions:  torch 2.13.0, numpy 2.4.6.
# Expected:  one pass over the data gives the batch norms mean and variance of the data, however it is cut into
#            batches.
# Happens:   the variance is the average of the batches' variances. What lies between the batches' means is lost: for
#            visible features around 0 and infrared ones around 3, both of variance 1, the data has 3.27, mixed
#            batches give 3.30, and batches of one modality give 1.00. Every batch counts the same as well: a last
#            batch of two images weighs as much as one of 100.
# Matters:   a loader that reads one modality after the other is how features are extracted here, and the plain choice
#            for update_bn after averaging weights. Every normalized feature comes out 1.8 times too large, per
#            channel by another factor, and the averaged network looks bad.
# Instead:   give update_bn the training sampler's mixed batches (drop_last=True), or average the buffers as well:
#            AveragedModel(..., use_buffers=True).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir numpy==2.4.6 torch==2.13.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.optim.swa_utils import update_bn

torch.manual_seed(0)
visible, infrared = torch.randn(640, 64), torch.randn(640, 64) + 3
both = torch.cat([visible, infrared])
norm = torch.nn.BatchNorm1d(64)


def statistics(batches):
    update_bn(batches, norm)
    return float(norm.running_mean.mean()), float(norm.running_var.mean())


true = float(both.mean()), float(both.var(0, unbiased=False).mean())
mixed = statistics([torch.cat(pair) for pair in zip(visible.split(32), infrared.split(32))])
alone = statistics([*visible.split(64), *infrared.split(64)])
uneven = statistics([*visible[:100].split(100), infrared[:2]])
statistics([*visible.split(64), *infrared.split(64)])
spread = float(norm.eval()(both).std(0).mean())
print("the data:             mean %.2f, variance %.2f" % true)
print("mixed batches:        mean %.2f, variance %.2f" % mixed)
print("one modality a batch: mean %.2f, variance %.2f" % alone)
print("100 visible, 2 infrared images in two batches: mean %.2f instead of %.2f" % (uneven[0], 3 * 2 / 102))
print("deviation of the normalized features: %.2f instead of 1" % spread)
assert abs(true[1] - 3.25) < 0.1 and abs(mixed[1] - true[1]) < 0.2
assert abs(alone[1] - 1) < 0.1 and abs(alone[0] - true[0]) < 0.05
assert 1.2 < uneven[0] < 1.8
assert 1.7 < spread < 1.9
PYTHON
