import os
from pathlib import Path

import pytest
import torch
from torch import nn

from vireid_plugins.engine import VireidCheckpointer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.errors import DataError


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpointer = VireidCheckpointer(nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("model", epoch=1)

    def full(content: object, stream) -> None:
        stream.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        DataError, match=r"model\.pth' cannot be written: No space left on device; the last good checkp"
    ):
        checkpointer.save("model", epoch=2)
    assert load_checkpoint(tmp_path / "model.pth")["epoch"] == 1
    assert (tmp_path / "last_checkpoint").read_text() == "model.pth"


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("content", [b"torn", None, "evil", {"weights": 1}])
def test_what_is_no_checkpoint_is_named_and_runs_nothing(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "evil":
        torch.save({"model": Evil()}, file)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(DataError, match=r"model\.pth"):
        load_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth' does not exist \(MODEL.WEIGHTS"):
        VireidCheckpointer(nn.Linear(2, 2), str(tmp_path)).load("gone.pth")
