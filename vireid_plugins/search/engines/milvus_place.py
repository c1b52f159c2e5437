"""Where a gallery of Milvus is: a note in its folder, and the connection to the server or the embedded database.

The note has what belongs to the gallery and to no image: which model made the vectors, thresholds, folders. It never
has a password or a token; that is read from the environment.
"""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from vireid_plugins.errors import ConfigError, DataError, InstallError, UserError, first_line
from vireid_plugins.io.files import write_json
from vireid_plugins.io.regular import read_bytes
from vireid_plugins.search.engines.base import damaged

NOTE, EMBEDDED = "milvus.json", "milvus.db"
TOKEN = "VIREID_MILVUS_TOKEN"
FORMAT = 1
# Largest note that is read.
MOST = 2**28
# Seconds for a connection, and for an answer.
CONNECT, ANSWER = 5.0, 300.0
# Embedded databases of this process: how many engines use each.
_users: Counter[str] = Counter()


@dataclass(frozen=True)
class Place:
    """A collection of Milvus.

    Attributes:
        collection: its name.
        width: D.
        uri: address of the server; empty for a database in the folder.
        facts: texts by name, see `Engine.facts`.
        format: of the note.
    """

    collection: str
    width: int
    uri: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> "Place":
        """Read the note in a folder.

        Raises:
            DataError: it cannot be read, or a later release wrote it.
        """
        try:
            note = json.loads(read_bytes(folder / NOTE, MOST))
            if note["format"] != FORMAT:
                raise DataError(
                    f"the gallery '{folder}' has format {note['format']}, which a later release wrote; this one knows "
                    f"{FORMAT}"
                )
            place = cls(**note)
            words = [place.collection, place.uri, *place.facts, *place.facts.values()]
            if not all(isinstance(one, str) for one in words) or type(place.width) is not int:
                raise TypeError("a value has the wrong type")
        except UserError:
            raise
        except OSError as error:
            raise DataError(f"'{folder / NOTE}' cannot be read: {error.strerror or error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise damaged(folder, f"{NOTE}: {first_line(error)}") from None
        return place

    def write(self, folder: Path) -> None:
        """Write the note.

        Raises:
            ConfigError: it cannot be written.
        """
        write_json(folder / NOTE, asdict(self))


def require_uri(uri: str) -> None:
    """Raise a `ConfigError` unless a text is empty or the address of a server, without a password."""
    # First, so that no other message shows it.
    if "@" in uri:
        raise ConfigError(f"--uri: leave the password out, and put it into the variable {TOKEN}: user:password")
    try:
        parts = urlsplit(uri)
        is_server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        # A port that is no number up to 65535, or brackets that hold no address.
        is_server = False
    if uri and not is_server:
        raise ConfigError(f"--uri: '{uri}' is no address of a server; write http://HOST:19530")


class Connection:
    """A connection to the server of a place.

    Args:
        folder: folder of the gallery.
        uri: see `Place`.

    Attributes:
        client: pymilvus's client.

    Raises:
        InstallError: pymilvus, or milvus-lite for an embedded database, is missing.
        DataError: the server cannot be reached, or another process has the embedded database open.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri
        self._path = "" if uri else str((folder / EMBEDDED).absolute())
        self._open = True
        try:
            import pymilvus

            if not uri:
                import milvus_lite  # noqa: F401
        except ImportError as error:
            packages = "pymilvus" if uri else "pymilvus milvus-lite"
            raise InstallError(f"Milvus needs {packages} ({error}):", f"    pip install {packages}") from None
        if self._path:
            _require_free(folder)
        # They log what they raise, with tracebacks.
        for logger in ("pymilvus", "milvus_lite"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        self._failure = pymilvus.MilvusException
        try:
            self.client = pymilvus.MilvusClient(
                uri or self._path, timeout=CONNECT, **({"token": os.environ.get(TOKEN, "")} if uri else {})
            )
        except (self._failure, OSError, ValueError) as error:
            raise DataError(self._unreachable(error)) from None
        _users[self._path] += 1

    def _unreachable(self, error: Exception) -> str:
        if not self.uri:
            return f"the embedded Milvus database '{self.folder / EMBEDDED}' cannot be opened: {first_line(error)}"
        return (
            f"the Milvus server {self.uri} of '{self.folder}' cannot be used: {first_line(error)}. Is it running? A "
            f"server with passwords needs {TOKEN} in the environment: user:password, or a token"
        )

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Turn errors of the server into those for the user."""
        try:
            yield
        except self._failure as error:
            raise DataError(f"Milvus, for the gallery '{self.folder}': {first_line(error)}") from None
        except ValueError as error:
            if isinstance(error, UserError) or "closed channel" not in str(error):
                raise
            raise DataError(f"the gallery '{self.folder}' is closed") from None

    def close(self) -> None:
        """Close the connection; the last of an embedded database closes that."""
        if not self._open:
            return
        self._open = False
        self.client.close()
        if self._path:
            _users[self._path] -= 1
            if not _users[self._path]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self._path)


def _require_free(folder: Path) -> None:
    """Raise a `DataError` if another process has the embedded database of a folder open."""
    import fcntl

    path = folder / EMBEDDED / "LOCK"
    if _users[str((folder / EMBEDDED).absolute())] or not path.exists():
        return
    try:
        with path.open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"the gallery '{folder}' is open in another process, and an embedded Milvus database is for one at a time"
        ) from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be used: {error.strerror or error}") from None


def remove_embedded(folder: Path) -> None:
    """Remove the embedded database of a folder, such as one that was never finished."""
    shutil.rmtree(folder / EMBEDDED, ignore_errors=True)
