"""Which engine a gallery has: chosen when it is created, and known from its folder afterwards."""

import os
from dataclasses import dataclass
from pathlib import Path

from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.search.engines.base import Engine
from vireid_plugins.search.engines.folder import FolderEngine
from vireid_plugins.search.engines.milvus_place import NOTE, Place, require_uri
from vireid_plugins.search.engines.rows import DATABASE

FAISS, MILVUS = "faiss", "milvus"
ENGINES = (FAISS, MILVUS)


@dataclass(frozen=True)
class Kind:
    """How a new gallery keeps its vectors; what is left empty is taken as it is, or from the first of the choices.

    Attributes:
        engine: one of ENGINES; by default faiss, or Milvus if there is an address.
        uri: address of a Milvus server.
        dtype: type of the stored numbers, float32 or float16; with faiss.

    Raises:
        ConfigError: an engine is unknown, or the others do not belong to it.
    """

    engine: str = ""
    uri: str = ""
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.engine:
            require_name("--engine", self.engine, ENGINES)
        if self.uri and self.engine == FAISS:
            raise ConfigError("--uri: faiss has no server; leave it out, or choose --engine milvus")
        require_uri(self.uri)
        if self.dtype != "float32" and (self.engine == MILVUS or self.uri):
            raise ConfigError(f"--dtype {self.dtype}: Milvus keeps float32; leave it out, or choose --engine faiss")

    def create(self, folder: Path, width: int) -> Engine:
        """Create a gallery of vectors of `width` numbers; see the engines for errors."""
        if self.engine == MILVUS or self.uri:
            from vireid_plugins.search.engines.milvus import MilvusEngine

            return MilvusEngine.create(folder, width, self.uri)
        return FolderEngine(folder, width, self.dtype)

    def require_same(self, engine: Engine, folder: Path) -> None:
        """Raise an error if a choice differs from what a gallery has.

        Raises:
            ConfigError: it does.
        """
        if (self.engine and self.engine != engine.name) or (self.uri and self.uri != engine.uri):
            given = f"--engine {self.engine}" if self.engine and self.engine != engine.name else f"--uri {self.uri}"
            at = f" at {engine.uri}" if engine.uri else ""
            raise ConfigError(
                f"{given}: the gallery '{folder}' has the engine {engine.name}{at}; leave it out, or choose another "
                "folder with --index"
            )

    def require_several(self, folder: Path) -> None:
        """Raise an error unless several processes may open the gallery of a folder, or the one that will be made there.

        Raises:
            ConfigError: it is an embedded database.
        """
        made = os.path.isfile(folder / NOTE)  # noqa: PTH113
        if not Place.read(folder).uri if made else self.engine == MILVUS and not self.uri:
            raise ConfigError(
                f"'{folder}': an embedded Milvus database is for one process; index without torchrun, or choose a "
                "server (--uri) or faiss"
            )


def opened(folder: Path) -> Engine:
    """Open the gallery in a folder with its engine; see the engines for errors."""
    # Path.is_file raises what cannot be read.
    if os.path.isfile(folder / NOTE) and not os.path.isfile(folder / DATABASE):  # noqa: PTH113
        from vireid_plugins.search.engines.milvus import MilvusEngine

        return MilvusEngine(folder)
    return FolderEngine(folder)
