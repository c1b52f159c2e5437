"""Steps against memories in several processes, each with its share of the clusters."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from cluster_inputs import PHASES, apart_batch, epoch_of, network_of_features, phase_start, phase_step

from vireid_plugins.modeling import ClusterContrast

PHASE = "pgm stage2_regdb_more"
# Rows of the batch [V1, V2, R] by block, each 4 images of a cluster.
BLOCKS, INSTANCES = (8, 8, 16), 4
ASSOCIATION = {"r2i": np.array([0, 1, -1, 3, 4, 5, 6, 7, 8, 5, 0, 8]), "i2r": np.array([0, 1, 2, 3, -1, 5, 6, 7, 8])}


def rows_of(rank: int, world: int) -> list[int]:
    """The rows of a process: every `world`-th cluster of each block, as the samplers deal them out."""
    starts = np.cumsum([0, *BLOCKS[:-1]])
    return [
        int(start) + row
        for start, size in zip(starts, BLOCKS, strict=True)
        for row in range(size)
        if row // INSTANCES % world == rank
    ]


def stepped(rank: int, world: int, rule: str, epoch: int) -> dict[str, Any]:
    """Rows, their gradient divided by the number of processes, and the memories after two steps."""
    model: ClusterContrast = network_of_features(INSTANCES, rule=rule, momentum=PHASES[PHASE][4])
    model.begin_epoch(epoch_of(*phase_start(PHASE), epoch, ASSOCIATION))
    mine = rows_of(rank, world)
    gradients = []
    for step in range(2):
        rows, labels = phase_step(PHASE, step)
        images = torch.from_numpy(rows[mine]).view(len(mine), 1, 1, 32).requires_grad_()
        losses: Any = model(apart_batch(images, labels[mine], len(mine) // 2))
        sum(losses.values()).backward()
        model.commit_memories()
        assert images.grad is not None
        gradients.append(images.grad.flatten(1) / world)
    assert model.epoch_state is not None
    return {"rows": mine, "gradients": gradients, "memories": model.epoch_state.memories}


def steps(args: Namespace) -> None:
    """Keep in `args.folder` what each process has after its steps with each rule, in an even and an odd epoch."""
    torch.set_num_threads(1)
    rank, world = dist.get_rank(), dist.get_world_size()
    for rule in ("mean", "hard"):
        for epoch in (0, 1):
            torch.save(stepped(rank, world, rule, epoch), Path(args.folder) / f"{rule}{epoch}_{rank}.pt")
