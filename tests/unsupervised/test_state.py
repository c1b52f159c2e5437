from pathlib import Path

import torch

from vireid_plugins.unsupervised.state import EpochState


def state() -> EpochState:
    memories = {"visible": torch.randn(3, 4, requires_grad=True), "infrared": torch.randn(2, 4)}
    maps = {"r2i": torch.tensor([0, -1, 1]), "i2r": torch.tensor([0, 2])}
    return EpochState(7, torch.tensor([0, 1, -1, 2, 0, 1]), memories, maps)


def test_epoch_state_survives_a_file(tmp_path: Path) -> None:
    saved = state()
    torch.save(saved.state_dict(), tmp_path / "state.pth")
    loaded = EpochState()
    loaded.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert loaded.epoch == 7
    assert torch.equal(loaded.labels, saved.labels)
    assert all(torch.equal(loaded.memories[name], rows) for name, rows in saved.memories.items())
    assert all(torch.equal(loaded.association[name], rows) for name, rows in saved.association.items())


def test_state_dict_is_a_copy() -> None:
    one = state()
    saved = one.state_dict()
    before = saved["memories"]["infrared"].clone()
    one.memories["infrared"].zero_()
    assert torch.equal(saved["memories"]["infrared"], before)
    assert not saved["memories"]["visible"].requires_grad
    assert EpochState().state_dict()["association"] == {}
