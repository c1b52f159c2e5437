"""The cache of decoded images: what it holds, when it is made again, and who shares it."""

import multiprocessing
import pickle
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import HANG, small_cfg
from PIL import Image

from vireid_plugins.data import build_test_loader, build_train_loader, decode
from vireid_plugins.data import cache as module
from vireid_plugins.data.cache import ImageCache
from vireid_plugins.data.decode import Decoder, read_image
from vireid_plugins.errors import ConfigError, DataError

SIZE = (12, 6)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    files = [tmp_path / "images" / f"{number}.png" for number in range(5)]
    files[0].parent.mkdir()
    for file in files:
        Image.fromarray(rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)).save(file)
    return [str(file) for file in files]


def written(folder: Path) -> int:
    """When the one array of the folder was written."""
    (file,) = folder.glob("*.npy")
    return file.stat().st_mtime_ns


def test_cache_holds_what_decoding_gives_and_is_made_once(tmp_path: Path, paths: list[str]) -> None:
    decoder = Decoder(paths, SIZE, "bicubic")
    cache = ImageCache(decoder, tmp_path / "cache")
    for number in range(5):
        assert np.array_equal(cache[number], decoder[number])
    first = written(tmp_path / "cache")
    again = pickle.loads(pickle.dumps(ImageCache(decoder, tmp_path / "cache")))
    assert np.array_equal(again[4], decoder[4])
    assert written(tmp_path / "cache") == first
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == [".json", ".lock", ".npy"]


@pytest.mark.parametrize("other", [((6, 6), "bicubic", 5), (SIZE, "nearest", 5), (SIZE, "bicubic", 4)])
def test_cache_of_another_size_interpolation_or_list_is_another_array(
    tmp_path: Path, paths: list[str], other: tuple[tuple[int, int], str, int]
) -> None:
    ImageCache(Decoder(paths, SIZE, "bicubic"), tmp_path / "cache")
    size, interpolation, count = other
    decoder = Decoder(paths[:count], size, interpolation)
    assert np.array_equal(ImageCache(decoder, tmp_path / "cache")[3], decoder[3])
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_cache_is_stale_when_a_file_changed(tmp_path: Path, paths: list[str]) -> None:
    decoder = Decoder(paths, SIZE, "bilinear")
    before = ImageCache(decoder, tmp_path / "cache")[2].copy()
    Image.fromarray(np.zeros((20, 10, 3), np.uint8)).save(paths[2])
    after = ImageCache(decoder, tmp_path / "cache")
    assert before.max() > 0
    assert after[2].max() == 0
    assert np.array_equal(after[1], decoder[1])


@pytest.mark.parametrize("damage", ["half of the array", "no array", "no note", "half of the note", "an empty array"])
def test_cache_that_is_torn_is_made_again(tmp_path: Path, paths: list[str], damage: str) -> None:
    decoder = Decoder(paths, SIZE, "bilinear")
    cache = ImageCache(decoder, tmp_path / "cache")
    note = cache.file.with_suffix(".json")
    if damage == "half of the array":
        cache.file.write_bytes(cache.file.read_bytes()[: cache.file.stat().st_size // 2])
    elif damage == "an empty array":
        cache.file.write_bytes(b"")
    elif damage == "half of the note":
        note.write_text(note.read_text()[:10])
    else:
        (cache.file if damage == "no array" else note).unlink()
    again = ImageCache(decoder, tmp_path / "cache")
    assert all(np.array_equal(again[number], decoder[number]) for number in range(5))


def test_cache_of_a_killed_run_is_not_taken_for_one(tmp_path: Path, paths: list[str]) -> None:
    decoder = Decoder(paths, SIZE, "bilinear")
    cache = ImageCache(decoder, tmp_path / "cache")
    shutil.move(cache.file, cache.file.with_suffix(".partial"))
    assert np.array_equal(ImageCache(decoder, tmp_path / "cache")[0], decoder[0])


def test_cache_that_is_complete_is_only_read(tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(paths, SIZE, "bilinear")
    ImageCache(decoder, tmp_path / "cache")
    for name in ("make_folder", "FileLock"):  # on a disk that cannot be written, each fails
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("something was written"))
    assert np.array_equal(ImageCache(decoder, tmp_path / "cache")[0], decoder[0])


def test_cache_on_a_disk_that_fills_is_one_error_and_not_a_dead_process(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that is mapped to a file without room ends the process that writes to it: room is asked for first."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(ConfigError, match=r"\.npy' cannot be written: No space left on device"):
        ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def _made(folder: Path, paths: list[str], out: "multiprocessing.Queue[tuple[int, int]]") -> None:
    cache = ImageCache(Decoder(paths, SIZE, "bilinear"), folder)
    out.put((int(cache[0].sum()), cache.file.stat().st_mtime_ns))


@pytest.mark.slow
def test_cache_is_shared_by_processes(tmp_path: Path, paths: list[str]) -> None:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    processes = [context.Process(target=_made, args=(tmp_path / "cache", paths, out)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [out.get(timeout=HANG) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(found)) == 1, "one of them made it, the other waited"


def test_cache_with_a_broken_or_missing_image_or_a_full_disk_is_one_error(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(paths[3]).write_bytes(b"no image")
    cache = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(DataError, match=r"3\.png' cannot be read"):
            cache[3]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(DataError, match=r"DATALOADER\.CACHE: 2 images of 12 x 6 need 0\.0 GiB.*set another folder"):
        ImageCache(Decoder(paths[:2], SIZE, "bilinear"), tmp_path / "full")
    assert not list((tmp_path / "full").glob("*.npy"))
    Path(paths[3]).unlink()
    with pytest.raises(DataError, match=r"3\.png' cannot be read"):
        ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that this process decodes from now on."""
    names: list[str] = []

    def noted(path: str, *given: object) -> np.ndarray:
        names.append(path)
        return read_image(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "read_image", noted)
    return names


def test_cache_fills_as_it_is_read_and_decodes_each_image_once(
    tmp_path: Path, paths: list[str], decoded: list[str]
) -> None:
    cache = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    assert decoded == [], "nothing is waited for"
    expected = {number: cache[number] for number in (3, 1)}
    assert decoded == [paths[3], paths[1]]
    again = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    for _ in range(2):
        assert all(np.array_equal(again[number], image) for number, image in expected.items())
    assert decoded == [paths[3], paths[1]], "what another run has stored"
    assert not again[3].flags.writeable


def test_cache_does_not_count_an_image_that_is_torn(tmp_path: Path, paths: list[str], decoded: list[str]) -> None:
    """A process that is killed while it stores, or a machine that loses what it had not written to its disk."""
    cache = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    expected = [cache[number].copy() for number in range(5)]
    records = np.load(cache.file, mmap_mode="r+")
    records["image"][1, 6:] = 0
    records["checksum"][2] = 0
    records["image"][4], records["checksum"][4] = 0, 0
    records.flush()
    decoded.clear()
    again = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    assert all(np.array_equal(again[number], image) for number, image in enumerate(expected))
    assert decoded == [paths[1], paths[2], paths[4]]
    healed = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    assert all(np.array_equal(healed[number], image) for number, image in enumerate(expected))
    assert len(decoded) == 3


def test_cache_that_cannot_be_written_any_more_is_read_without(
    tmp_path: Path,
    paths: list[str],
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    stored = cache[0].copy()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "overwrite", full)
    again = ImageCache(Decoder(paths, SIZE, "bilinear"), tmp_path / "cache")
    assert np.array_equal(again[0], stored)
    assert np.array_equal(again[1], again[1])
    assert np.array_equal(again[2], Decoder(paths, SIZE, "bilinear")[2])
    assert decoded.count(paths[1]) == 2
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [message.count("No space left on device") for message in warned] == [1]


def _reads_for_ever(folder: Path, paths: list[str], begun: "multiprocessing.Queue[int]") -> None:
    while True:
        for file in folder.glob("*.npy"):
            records = np.load(file, mmap_mode="r+")
            records["checksum"] = 0
        cache = ImageCache(Decoder(paths, SIZE, "bilinear"), folder)
        for number in range(5):
            cache[number]
        begun.put(1)


@pytest.mark.slow
def test_cache_that_processes_fill_and_empty_until_they_are_killed_is_right(tmp_path: Path, paths: list[str]) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Queue()
    processes = [context.Process(target=_reads_for_ever, args=(tmp_path / "cache", paths, begun)) for _ in range(2)]
    for process in processes:
        process.start()
    decoder = Decoder(paths, SIZE, "bilinear")
    expected = [decoder[number] for number in range(5)]
    for _ in range(10):
        begun.get(timeout=HANG)
        cache = ImageCache(decoder, tmp_path / "cache")
        assert all(np.array_equal(cache[number], image) for number, image in enumerate(expected))
    for process in processes:
        process.kill()
        process.join()
    cache = ImageCache(decoder, tmp_path / "cache")
    assert all(np.array_equal(cache[number], image) for number, image in enumerate(expected))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_build_loaders_with_and_without_cache_give_the_same_batches(
    data_root: Path, tmp_path: Path, workers: str
) -> None:
    overrides = ["DATALOADER.NUM_WORKERS", workers]
    cached = [*overrides, "DATALOADER.CACHE", str(tmp_path / "cache")]
    for expected, found in zip(
        islice(build_train_loader(small_cfg("SYSU/wrim.yml", *overrides)), 3),
        islice(build_train_loader(small_cfg("SYSU/wrim.yml", *cached)), 3),
        strict=True,
    ):
        assert torch.equal(expected["images"], found["images"])
    plain, quick = (
        build_test_loader(small_cfg("SYSU/wrim.yml", *given), "SYSUMM01")[0] for given in (overrides, cached)
    )
    for expected, found in zip(plain, quick, strict=True):
        assert torch.equal(expected["images"], found["images"])
        assert expected["img_paths"] == found["img_paths"]
