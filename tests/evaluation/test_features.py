import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation import load_features, save_features
from vireid_plugins.evaluation.features import FeatureFile, require_split


def test_load_features_gives_what_was_saved(tmp_path: Path) -> None:
    matrix = np.arange(6.0).reshape(3, 2)
    save_features(tmp_path / "f.npz", matrix, ["a", "b", "c"], split=4)
    found = load_features(tmp_path / "f.npz")
    assert (found.features.tolist(), found.paths, found.split) == (matrix.tolist(), ["a", "b", "c"], 4)
    np.savez(tmp_path / "bytes.npz", features=matrix, paths=np.array([b"a", b"b", b"c"]))
    assert load_features(tmp_path / "bytes.npz").paths == ["a", "b", "c"]


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda f: None, "does not exist"),
        (lambda f: f.write_bytes(b"PK not a zip"), "is not a .npz file"),
        (lambda f: f.write_bytes(b""), "is not a .npz file"),
        (lambda f: np.save(f.open("wb"), np.zeros(3)), "is not a .npz file"),
        (lambda f: np.savez(f, feats=np.zeros((2, 2))), "^'.*' has no array features and no paths; it has feats. It"),
        (lambda f: np.savez(f), "it has nothing"),
        (
            lambda f: np.save(f.open("wb"), np.zeros(3)),
            "a .npy file, .* without paths: give the paths",
        ),
        (
            lambda f: savemat(f, {"features": np.zeros((2, 2))}, appendmat=False),
            "MATLAB or HDF5: up to MATLAB 7, give",
        ),
        (lambda f: f.write_bytes(pickle.dumps({"features": 1})), "a pickled one"),
        (lambda f: f.mkdir(), "cannot be read: it is a folder"),
        (lambda f: os.mkfifo(f), "cannot be read: it is a pipe"),
        (
            lambda f: np.savez(f, features=np.zeros((1, 2)), paths=np.array(["\u4e2d/1.jpg".encode("gbk")])),
            "paths are bytes that are not UTF-8, such as .* save them as str",
        ),
        (lambda f: np.savez(f, features=np.zeros((1, 2)), paths=["a"], split=[1, 2]), "split must be one whole number"),
        (lambda f: np.savez(f, features=np.zeros((1, 2)), paths=["a"], split="one"), "split must be one whole number"),
        (lambda f: np.savez(f, features=np.zeros((2, 2)), paths=np.zeros(2)), "paths must be"),
        (lambda f: np.savez(f, features=np.zeros((2, 2)), paths=np.array([["a"], ["b"]])), "paths must be"),
        (
            lambda f: np.savez(f, features=np.zeros((2, 2)), paths=np.array(["a", Evil()], dtype=object)),
            "not as object",
        ),
        (lambda f: f.write_bytes(torn()), "cannot be read"),
    ],
)
def test_load_features_of_a_wrong_file_is_one_error_and_runs_nothing_in_it(
    tmp_path: Path, write, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "f.npz")
    with pytest.raises(FeatureError, match=said):
        load_features(tmp_path / "f.npz")
    assert not (tmp_path / "ran").exists()


def torn() -> bytes:
    """A zip whose array stops in the middle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("features.npy", b"\x93NUMPY\x01\x00")
        archive.writestr("paths.npy", b"")
    return stream.getvalue()


def test_require_split_refuses_features_of_another_split() -> None:
    found = FeatureFile(np.zeros((1, 1)), ["a"], 3)
    require_split(found, 3, Path("f.npz"))
    require_split(found._replace(split=None), 5, Path("f.npz"))
    with pytest.raises(FeatureError, match=r"f.npz.*trained on split 3, but split 5 was given"):
        require_split(found, 5, Path("f.npz"))


def test_load_features_of_an_unreadable_file_says_so_and_nothing_of_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_features(tmp_path / "f.npz", np.ones((1, 2)), ["a"])

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vireid_plugins.evaluation.features.open_regular", refuse)
    with pytest.raises(FeatureError, match=r"^'.*f\.npz' cannot be read: Permission denied$"):
        load_features(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([[1, 2], [3]], r"features must be \(n, D\) numbers"),
        (torch.ones(2, 2).to_sparse(), "features must be a dense tensor of real numbers"),
        (np.ones((3, 2)), r"features must be \(n, D\) for n paths; got \(3, 2\) for 2 paths"),
        ([["a", "b"], ["c", "d"]], "features must be real numbers; got <U1"),
    ],
)
def test_save_features_of_what_cannot_be_scored_is_one_error_and_writes_nothing(
    tmp_path: Path, features: Any, message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        save_features(tmp_path / "f.npz", features, ["a", "b"])
    assert not list(tmp_path.iterdir())


def test_save_features_takes_a_tensor_with_gradients(tmp_path: Path) -> None:
    features: Any = torch.ones(2, 2, requires_grad=True)
    save_features(tmp_path / "f.npz", features, ["a", "b"])
    assert load_features(tmp_path / "f.npz").features.tolist() == [[1, 1], [1, 1]]
