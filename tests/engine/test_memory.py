"""Out of memory is one message, in a step and in an evaluation."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.memory import explained
from vireid_plugins.errors import OutOfMemoryError

ERRORS: dict[str, Callable[[], Exception]] = {
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"),
    "host": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    "Python": lambda: MemoryError(),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("training", [True, False])
def test_explained_names_the_keys_the_batch_and_the_size(kind: str, training: bool) -> None:
    cfg = small_cfg("SYSU/agw.yml")
    with pytest.raises(OutOfMemoryError) as caught, explained(cfg, training, lambda: "runs/a/model_0003.pth"):
        raise ERRORS[kind]()
    said = str(caught.value)
    assert "64 x 32" in said
    assert "\n" not in said
    for part in (
        ["16 images", "SOLVER.ACCUMULATE", "MODEL.RECOMPUTE_ACTIVATIONS", "SOLVER.AMP.ENABLED", "model_0003.pth"]
        if training
        else [f"{cfg.TEST.IMS_PER_BATCH} images", "TEST.IMS_PER_BATCH"]
    ):
        assert part in said, said


def test_explained_leaves_other_errors_alone() -> None:
    with pytest.raises(RuntimeError, match="another"), explained(small_cfg("SYSU/agw.yml"), training=True):
        raise RuntimeError("another")


@pytest.mark.usefixtures("little_root")
def test_training_out_of_memory_leaves_the_last_checkpoint_to_resume(tmp_path: Path) -> None:
    keys = ["MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "SOLVER.MAX_EPOCH", "2"]
    trainer = Trainer(small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(tmp_path), *keys))
    step, whole = trainer.take_step, trainer.iters_per_epoch

    def full(batches: object) -> object:
        if trainer.iter > whole:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(batches)

    trainer.take_step = full
    with pytest.raises(
        OutOfMemoryError, match=r"the last good checkpoint is '.*last\.pth', from which --resume continues"
    ):
        trainer.train()
    assert load_checkpoint(tmp_path / "last.pth")["epoch"] == 0
    again = Trainer(trainer.cfg)
    again.resume_or_load(resume=True)
    assert again.start_epoch == 1
