import argparse
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vireid_plugins.errors import DataError
from vireid_plugins.io import weight_file
from vireid_plugins.io.weight_file import CONTAINERS, named_tensors, read_weight_file, state_dict_of

WEIGHT = torch.ones(2)


@pytest.mark.parametrize("key", ["", *CONTAINERS])
def test_named_tensors_are_found_in_every_container(key: str) -> None:
    weights: dict[str, Any] = {"module.fc.weight": WEIGHT, "epochs_seen": 3}
    content = {key: weights, "epoch": 5, "optimizer": {"state": WEIGHT}} if key else weights
    assert named_tensors(content) == {"fc.weight": WEIGHT}


def test_named_tensors_of_containers_inside_each_other_are_the_innermost() -> None:
    assert named_tensors({"state_dict": {"model_state": {"a": WEIGHT}}, "other": WEIGHT}) == {"a": WEIGHT}


def test_named_tensors_under_a_name_of_a_container_stay() -> None:
    assert named_tensors({"net": WEIGHT, "fc": WEIGHT}) == {"net": WEIGHT, "fc": WEIGHT}


def save(content: Any, **keywords: Any) -> Callable[[Path], object]:
    return lambda file: torch.save(content, file, **keywords)


def torn(share: float, **keywords: Any) -> Callable[[Path], object]:
    """Write the first part of a file of torch."""

    def do(file: Path) -> None:
        torch.save({"a": WEIGHT}, file, **keywords)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    return do


OLD_FORMAT = {"_use_new_zipfile_serialization": False}
TORN = "it is torn, damaged or no file of torch.save$"
# How a file is written, and why it is none of weights.
NO_WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "it does not exist$"),
    "empty": (lambda file: file.write_bytes(b""), r"it is empty \(0 bytes\)$"),
    "zeros": (lambda file: file.write_bytes(bytes(1000)), TORN),
    "torn at once": (torn(0.01), TORN),
    "torn": (torn(0.5), TORN),
    "torn, of the old format": (torn(0.5, **OLD_FORMAT), TORN),
    "torn at its end, of the old format": (torn(0.99, **OLD_FORMAT), TORN),
    "a web page": (lambda file: file.write_text("\n<!DOCTYPE html><p>Log in"), "it is a web page"),
    "an error of a server": (lambda file: file.write_text('<?xml version="1.0"?><Error/>'), "it is a web page"),
    "a pointer": (
        lambda file: file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "it is a Git LFS pointer.*git lfs pull",
    ),
    "another archive": (lambda file: np.savez(file.open("wb"), a=np.ones(2)), TORN),
    "a compressed archive": (lambda file: np.savez_compressed(file.open("wb"), a=np.zeros(10**5)), "it would unpack"),
    "a pickle": (lambda file: file.write_bytes(pickle.dumps(SimpleNamespace())), TORN),
    "an object": (save({"a": WEIGHT, "n": SimpleNamespace()}), "it holds .* no tensor: it refers to types.Sim.*save i"),
    "arguments": (save({"net": {}, "args": argparse.Namespace()}), ".* refers to argparse.Namespace.*save its"),
    "a list": (save([WEIGHT]), "it contains a list, not a dict"),
    "a folder": (lambda file: file.mkdir(), "it is a folder, not a file$"),
    "a link to nothing": (lambda file: file.symlink_to("gone.pth"), "it is a link to 'gone.pth'"),
    "a link to itself": (lambda file: file.symlink_to(file), "it is a link to"),
    "a pipe": (os.mkfifo, "it is a pipe, not a regular file"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_read_weight_file_of_none_says_what_it_is_and_leaves_it(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, message = NO_WEIGHTS[case]
    file = tmp_path / "weights.pth"
    put(file)
    before = file.lstat().st_mtime_ns if os.path.lexists(file) else None
    if case == "a pipe":
        # Opening it would wait for a writer.
        monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(DataError, match=rf"^'{file}' cannot be loaded as weights: {message}"):
        read_weight_file(file)
    assert (file.lstat().st_mtime_ns if os.path.lexists(file) else None) == before


def test_read_weight_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": WEIGHT}, tmp_path / "weights.pth")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(DataError, match=r"weights\.pth' cannot be loaded as weights: Permission denied$"):
        read_weight_file(tmp_path / "weights.pth")


def test_read_weight_file_checks_a_digest_only_where_the_name_is_that_of_a_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_file, "_torchvision_names", lambda: frozenset({"resnet18-f37072fd.pth"}))
    for name in ("resnet18-f37072fd.pth", "mine-f37072fd.pth"):
        torch.save({"a": WEIGHT}, tmp_path / name)
    with pytest.raises(DataError, match=r"its SHA-256 starts with .*, but its name says f37072fd: it is damaged or"):
        read_weight_file(tmp_path / "resnet18-f37072fd.pth")
    assert set(read_weight_file(tmp_path / "mine-f37072fd.pth")) == {"a"}
    with pytest.raises(DataError, match=r"mine-f37072fd\.pth' .* its name says f37072fd"):
        read_weight_file(tmp_path / "mine-f37072fd.pth", downloaded=True)


def test_torchvision_names_have_that_of_resnet() -> None:
    assert {"resnet18-f37072fd.pth", "resnet50-0676ba61.pth"} <= weight_file._torchvision_names()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (3, "must be a state dict, but is int; save its tensors alone"),
        ({"epoch": 3}, "must be a state dict, but 'epoch' is int, not a tensor; save its tensors alone"),
        ({"net": {"a": WEIGHT}}, "'net' is a dict, not a tensor"),
        ({"name": None}, "'name' is None, not a tensor"),
        ({3: WEIGHT}, "has a int as a name: 3"),
        ({"a": np.array(["x"])}, "'a' is an array of <U1, not a tensor"),
        ({"a": np.array([None])}, "'a' is an array of object, not a tensor"),
    ],
)
def test_state_dict_of_anything_else_is_one_error(weights: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^checkpoint 'x': 'model'.* {message}"):
        state_dict_of(weights, "checkpoint 'x': 'model'")


def test_state_dict_of_arrays_has_tensors_whatever_their_byte_order_and_strides() -> None:
    values = np.arange(6.0).reshape(2, 3)
    given = {"module.a": values.astype(">f4"), "module.b": values[::-1], "module.c": np.array(5)}
    found = state_dict_of(given, "it")
    assert {name: value.tolist() for name, value in found.items()} == {
        "a": values.tolist(), "b": values[::-1].tolist(), "c": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrapper", ["module.", "module.module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_tensors_of_a_wrapped_model_have_its_own_names(wrapper: str) -> None:
    tensors = {"stem.weight": WEIGHT, "module_list.0.bias": WEIGHT}
    wrapped = {wrapper + name: value for name, value in tensors.items()}
    assert set(state_dict_of(wrapped, "'model'")) == set(named_tensors({"model": wrapped})) == set(tensors)
    stage = {"backbone._orig_mod.weight": WEIGHT, "heads.weight": WEIGHT}
    assert set(state_dict_of(stage, "'model'")) == {"backbone.weight", "heads.weight"}
    mixed = {"module.a": WEIGHT, "b": WEIGHT}
    assert set(state_dict_of(mixed, "'model'")) == {"module.a", "b"}


def test_read_weight_file_of_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    pytest.importorskip("safetensors.torch").save_file({"fc.weight": WEIGHT}, file)
    assert torch.equal(read_weight_file(file)["fc.weight"], WEIGHT)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"model\.safetensors' cannot be loaded as weights"):
        read_weight_file(file)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(DataError, match="pip install safetensors"):
        read_weight_file(file)
