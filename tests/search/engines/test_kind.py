"""Which engine a gallery has: what is chosen must fit, and be what the gallery has."""

from pathlib import Path

import pytest
from engine_cases import WIDTH

from vireid_plugins.errors import ConfigError
from vireid_plugins.search.engines import FolderEngine, Kind
from vireid_plugins.search.engines.milvus_place import TOKEN


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"uri": "localhost:19530"}, "--uri: 'localhost:19530' is no address of a server; write http://HOST:19530"),
        ({"uri": "http://host:x"}, "--uri: 'http://host:x' is no address of a server; write http://HOST:19530"),
        ({"uri": "http://host:99999"}, "--uri: 'http://host:99999' is no address of a server"),
        ({"uri": "http://[::1"}, r"--uri: 'http://\[::1' is no address of a server; write http://HOST:19530"),
        ({"uri": "http://root:x@host:1"}, f"--uri: leave the password out, and put it into the variable {TOKEN}"),
        ({"uri": "root:x@host:1"}, "--uri: leave the password out"),
        ({"uri": "http://root:x@host:port"}, "--uri: leave the password out"),
        ({"engine": "lance"}, "--engine: unknown value 'lance'; available: faiss, milvus"),
        ({"engine": "faiss", "uri": "http://host:1"}, "--uri: faiss has no server; leave it out, or choose --engine"),
        ({"engine": "milvus", "dtype": "float16"}, "--dtype float16: Milvus keeps float32; leave it out, or choose"),
        ({"uri": "http://[::1]:19530", "dtype": "float16"}, "--dtype float16: Milvus keeps float32"),
    ],
)
def test_kind_of_what_does_not_fit_says_so(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Kind(**given)
    assert "root" not in str(error.value)


def test_kind_of_another_engine_than_the_gallery_has_says_which_it_has(tmp_path: Path) -> None:
    with FolderEngine(tmp_path / "index", WIDTH) as engine:
        for fits in (Kind(), Kind("faiss")):
            fits.require_same(engine, tmp_path / "index")
        for other, given in (
            (Kind("milvus"), "--engine milvus"),
            (Kind(uri="http://host:1"), "--uri http://host:1"),
        ):
            with pytest.raises(ConfigError, match=f"^{given}: the gallery '.*index' has the engine faiss; leave"):
                other.require_same(engine, tmp_path / "index")
