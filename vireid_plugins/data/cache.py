"""Cache of decoded and resized images in one memory-mapped file.

`<key>.npy` is a plain numpy array (n, H, W, 3) of uint8; `<key>.json` records its sources. The key is a hash of the
list of files, the size and the interpolation. The array is rebuilt if its files have changed or it is incomplete.
Processes that need the same array wait for the one that builds it, then share its memory pages.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from numpy.lib.format import open_memmap
from tqdm import tqdm

from vireid_plugins.data.decode import Decoder
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import cannot_write, make_folder, remove_stale, write_by_name, write_json
from vireid_plugins.io.json_file import read_json
from vireid_plugins.processes import in_processes

logger = logging.getLogger("fastreid." + __name__)
# Images per job of a worker process, and per update of the progress bar.
CHUNK = 64


class ImageCache:
    """The images of a `Decoder`, decoded once.

    Args:
        decoder: the images to cache.
        folder: folder of the arrays (`DATALOADER.CACHE`); created if missing.
        workers: processes that decode; the number of processors by default.

    Raises:
        DataError: an image cannot be read, or the array does not fit on the disk.
    """

    def __init__(self, decoder: Decoder, folder: Path, workers: int | None = None) -> None:
        self.decoder = decoder
        names = json.dumps([decoder.paths, decoder.size, decoder.interpolation, *_deep(decoder)])
        self.file = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:20]}.npy"
        self._images: npt.NDArray[np.uint8] | None = None
        fingerprint = _fingerprint(decoder)
        # A complete array needs no lock, so it may be on a disk that nobody can write to.
        if self._is_current(fingerprint):
            return
        make_folder(folder, "DATALOADER.CACHE")
        with _locked(self.file):
            fingerprint = _fingerprint(decoder)
            if not self._is_current(fingerprint):
                remove_stale(folder)
                self._build(fingerprint, workers or os.cpu_count() or 1)

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the image (H, W, 3) with this index in the list, read-only."""
        if self._images is None:
            self._images = np.load(self.file, mmap_mode="r")
        image: npt.NDArray[np.uint8] = self._images[number]
        return image

    def __getstate__(self) -> dict[str, Any]:
        """Omit the open array: data-loader workers open it themselves and share its pages."""
        return self.__dict__ | {"_images": None}

    def _is_current(self, fingerprint: str) -> bool:
        """Return whether the array is complete and built from the files as they are now."""
        note = self.file.with_suffix(".json")
        if not self.file.is_file() or not note.is_file():
            return False
        try:
            unchanged: bool = read_json(note)["made_of"] == fingerprint
            shape = np.load(self.file, mmap_mode="r").shape
        except (ValueError, KeyError, TypeError, OSError, EOFError, OverflowError):
            logger.warning("image cache %s is damaged; rebuilding it", self.file)
            return False
        if not unchanged:
            logger.info("the source images of cache %s have changed; rebuilding it", self.file)
        return unchanged and shape == self._shape

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        return (len(self.decoder.paths), *self.decoder.size, 3)

    def _build(self, fingerprint: str, workers: int) -> None:
        count, height, width, channels = self._shape
        needed = count * height * width * channels
        free = shutil.disk_usage(self.file.parent).free
        if needed > free:
            raise DataError(
                f"DATALOADER.CACHE: {count} images of {height} x {width} need {needed / 2**30:.1f} GiB, and "
                f"'{self.file.parent}' has {free / 2**30:.1f} GiB left; set another folder, or '' for no cache"
            )
        chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        with write_by_name(self.file) as array:
            _allocate(array, self._shape)
            with tqdm(total=count, desc="image cache", unit="image", disable=None) as bar:
                for done in in_processes(partial(_decode, self.decoder, array), chunks, workers):
                    bar.update(done)
        note = {"made_of": fingerprint, "size": self.decoder.size, "interpolation": self.decoder.interpolation}
        write_json(self.file.with_suffix(".json"), note)
        logger.info("image cache %s: %d images, %.2f GiB", self.file, count, needed / 2**30)


def _deep(decoder: Decoder) -> list[object]:
    """Return what tells arrays of lists with PNG files apart, which may have 16 bits; nothing for other lists."""
    return [decoder.stretch] if any(path.lower().endswith(".png") for path in decoder.paths) else []


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    lock = FileLock(file.with_suffix(".lock"))
    try:
        lock.acquire()
    except OSError as error:
        raise cannot_write(file, error) from None
    try:
        yield
    finally:
        lock.release()


def _allocate(file: Path, shape: tuple[int, ...]) -> None:
    """Write an array without content, and take its place on the disk now.

    Processes write it through mapped memory, where a full disk would kill them (SIGBUS).
    """
    open_memmap(file, mode="w+", dtype=np.uint8, shape=shape).flush()
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with file.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    except OSError as error:
        # Some network file systems cannot; then only the free space has been looked at.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _fingerprint(decoder: Decoder) -> str:
    """Return a hash of the sizes and modification times of all files."""
    digest = hashlib.sha256()
    for path in decoder.paths:
        try:
            status = Path(path).stat()
        except OSError as error:
            raise DataError(f"image '{path}' cannot be read: {error}") from None
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _decode(decoder: Decoder, file: Path, numbers: Iterable[int]) -> int:
    """Decode the images with these indices into the array; return their number."""
    images = np.load(file, mmap_mode="r+")
    done = 0
    for number in numbers:
        images[number] = decoder[number]
        done += 1
    images.flush()
    return done
