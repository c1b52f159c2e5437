"""Cache of decoded and resized images in one memory-mapped file, which fills as images are read.

`<key>.npy` is a numpy array of n records: a checksum and an image (H, W, 3) of uint8. `<key>.json` records its sources.
The key is a hash of the list of files, the size and the interpolation. Whoever needs an image that is not there yet, or
whose checksum does not fit, decodes and stores it. So nobody waits, any number of processes may read and fill an array
at a time (the second to store an image writes the same bytes), and where a process is killed or a machine loses power,
an image is whole or does not count. The array is replaced if its files have changed.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from numpy.lib.format import open_memmap

from vireid_plugins.data.decode import Decoder
from vireid_plugins.data.thermal import RULES
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import cannot_write, make_folder, overwrite, remove_stale, write_by_name, write_json
from vireid_plugins.io.json_file import read_json

logger = logging.getLogger("fastreid." + __name__)
# Names another array for arrays of another layout: earlier releases took every array for complete.
LAYOUT = 2


class ImageCache:
    """The images of a `Decoder`, decoded once.

    Args:
        decoder: the images to cache.
        folder: folder of the arrays (`DATALOADER.CACHE`); created if missing.

    Raises:
        DataError: an image does not exist, or the array does not fit on the disk.
    """

    def __init__(self, decoder: Decoder, folder: Path) -> None:
        self.decoder, self.size = decoder, decoder.size
        names = json.dumps([LAYOUT, decoder.paths, decoder.size, decoder.interpolation, *_deep(decoder)])
        self.file = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:20]}.npy"
        self._record = np.dtype([("checksum", np.uint64), ("image", np.uint8, (*decoder.size, 3))])
        self._close()
        fingerprint = _fingerprint(decoder)
        # An array that is there needs no lock, so it may be on a disk that nobody can write to.
        if self._is_current(fingerprint):
            return
        make_folder(folder, "DATALOADER.CACHE")
        with _locked(self.file):
            fingerprint = _fingerprint(decoder)
            if not self._is_current(fingerprint):
                remove_stale(folder)
                self._create(fingerprint)

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the image (H, W, 3) with this index in the list, read-only.

        Raises:
            DataError: it is not in the cache, and its file cannot be read.
        """
        if self._images is None:
            self._open()
        assert self._images is not None
        image: npt.NDArray[np.uint8] = self._images[number]
        # Once in a process: what is whole stays so.
        if not self._whole[number]:
            if self._checksums[number] != _checksum(image):
                return self._filled(number)
            self._whole[number] = 1
        return image

    def __getstate__(self) -> dict[str, Any]:
        """Omit the open array: data-loader workers open it themselves and share its pages."""
        return self.__dict__ | {"_images": None, "_checksums": None, "_whole": None}

    def _close(self) -> None:
        self._images: npt.NDArray[np.uint8] | None = None
        self._checksums: Any = None
        self._whole: Any = None
        # Whether images are stored; no longer after the first that could not be.
        self._filling = True

    def _open(self) -> None:
        mapped = np.load(self.file, mmap_mode="r")
        # Plain arrays: a memory map makes an object of its own for each image.
        self._start, records = mapped.offset, np.asarray(mapped)
        self._images, self._checksums = records["image"], records["checksum"]
        self._whole = bytearray(len(records))

    def _filled(self, number: int) -> npt.NDArray[np.uint8]:
        """Decode an image, store it and return it."""
        image = self.decoder[number]
        if self._filling:
            record = np.empty((), self._record)
            record["checksum"], record["image"] = _checksum(image), image
            try:
                overwrite(self.file, self._start + number * self._record.itemsize, record.tobytes())
            except OSError as error:
                # It is read without.
                self._filling = False
                logger.warning("image cache %s is not filled any further: %s", self.file, error.strerror or error)
        return image

    def _is_current(self, fingerprint: str) -> bool:
        """Return whether there is an array for the files as they are now."""
        note = self.file.with_suffix(".json")
        if not self.file.is_file() or not note.is_file():
            return False
        try:
            unchanged: bool = read_json(note)["made_of"] == fingerprint
            array = np.load(self.file, mmap_mode="r")
        except (ValueError, KeyError, TypeError, OSError, EOFError, OverflowError):
            logger.warning("image cache %s is damaged; replacing it", self.file)
            return False
        if not unchanged:
            logger.info("the source images of cache %s have changed; replacing it", self.file)
        return unchanged and (array.shape, array.dtype) == ((len(self.decoder.paths),), self._record)

    def _create(self, fingerprint: str) -> None:
        """Write an array without images."""
        count, (height, width) = len(self.decoder.paths), self.size
        needed = count * self._record.itemsize
        free = shutil.disk_usage(self.file.parent).free
        if needed > free:
            raise DataError(
                f"DATALOADER.CACHE: {count} images of {height} x {width} need {needed / 2**30:.1f} GiB, and "
                f"'{self.file.parent}' has {free / 2**30:.1f} GiB left; set another folder, or '' for no cache"
            )
        with write_by_name(self.file) as array:
            _allocate(array, count, self._record)
        note = {"made_of": fingerprint, "size": self.size, "interpolation": self.decoder.interpolation}
        write_json(self.file.with_suffix(".json"), note)
        logger.info("image cache %s: %d images, %.2f GiB, fills as they are read", self.file, count, needed / 2**30)


def _checksum(image: npt.NDArray[np.uint8]) -> int:
    """Return a checksum that is never 0, the one of an empty record."""
    return 1 << 32 | zlib.crc32(image.data)


def _deep(decoder: Decoder) -> list[object]:
    """Return what tells arrays of lists with PNG files apart, which may have 16 bits; nothing for other lists."""
    return [RULES, decoder.stretch] if any(path.lower().endswith(".png") for path in decoder.paths) else []


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


def _allocate(file: Path, count: int, record: np.dtype[Any]) -> None:
    """Write an array of empty records, and take its place on the disk now."""
    open_memmap(file, mode="w+", dtype=record, shape=(count,)).flush()
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
