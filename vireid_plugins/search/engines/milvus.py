"""The engine of Milvus: a collection on a server, or embedded in the folder of the gallery.

Its index is FLAT, which compares everything, so that a search is as exact as that of a folder; filters are expressions
that the server looks at first. On a server the partition key is the camera. A record and its vector are one row, and
its primary key is a digest of its key, since paths may be longer than primary keys.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vireid_plugins.errors import DataError
from vireid_plugins.io.files import make_folder
from vireid_plugins.search.engines.base import (
    Candidate,
    Engine,
    Record,
    Vectors,
    check_keys,
    check_vectors,
    damaged,
)
from vireid_plugins.search.engines.known import Known
from vireid_plugins.search.engines.milvus_filter import UNKNOWN, expression, key_of, literal, stored_key
from vireid_plugins.search.engines.milvus_place import ANSWER, Connection, Place, remove_embedded, require_uri
from vireid_plugins.search.engines.where import Where

# Rows of an answer, queries of a search, and candidates per query, at most: a server's limit.
MOST = 16_384
# Rows of a page, and bytes of vectors in a message; a server takes 64 MiB.
PAGE, MESSAGE = 8000, 2**25
# Ids in an expression, queries of a search.
IDS, QUERIES = 1000, 512
# Bytes of a text, a server's limit.
TEXT = 65_535
_TEXTS = ("stamp", "digest", "camera", "track")
_FIELDS = ("id", "key", "number", "modality", "time", *_TEXTS, "extra")


class MilvusEngine(Engine):
    """Vectors and records in a collection of Milvus.

    `upsert` sends some thousand records at a time, those of a message as a whole: what is interrupted between two
    messages has the first ones. An embedded database writes a message as a whole or not at all, also if the process is
    killed.

    Args:
        folder: the gallery's folder, whose note says where the collection is.

    Attributes:
        place: the collection.

    Raises:
        DataError: the note cannot be read, the server not be reached, or it lacks the collection.
        InstallError: a package is missing.
    """

    name: ClassVar[str] = "milvus"

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, Place.read(folder)
        self.width, self.uri, self.single_process = self.place.width, self.place.uri, not self.place.uri
        self._connection = Connection(folder, self.place.uri)
        self._last, self._written = 0, False
        # Number of records, the newest one's number, and what is known of them.
        self._known: tuple[int, int, Known] | None = None
        try:
            if not self._call("has_collection"):
                where = self.place.uri or "its embedded database"
                raise damaged(folder, f"{where} has no collection '{self.place.collection}'")
            self._call("load_collection")
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, folder: Path, width: int, uri: str = "") -> "MilvusEngine":
        """Create a gallery.

        Args:
            folder: its folder, which holds no gallery.
            width: D.
            uri: address of a server, http://HOST:19530; empty for a database in the folder. A server's token, or
                user:password, is read from the variable `milvus_place.TOKEN`.

        Raises:
            ConfigError: the address is none, or the folder cannot be written.
            DataError: the server cannot be reached or refuses.
            InstallError: a package is missing.
        """
        require_uri(uri)
        make_folder(folder, "the gallery")
        if not uri:
            remove_embedded(folder)
        place = Place(f"vireid_{uuid.uuid4().hex}", width, uri)
        connection = Connection(folder, uri)
        try:
            with connection.understood():
                _create_collection(connection.client, place)
        finally:
            connection.close()
        place.write(folder)
        return cls(folder)

    def upsert(self, records: Sequence[Record], vectors: Vectors) -> None:
        """See `Engine.upsert`."""
        check_keys(records)
        vectors = check_vectors(vectors, len(records), self.width)
        self._send(records, vectors, self.next_number())

    def next_number(self) -> int:
        """Return a number after all that were given before, by which records are ordered: nanoseconds since 1970."""
        return max(time.time_ns(), self._last + 1)

    def _send(self, records: Sequence[Record], vectors: Vectors, first: int) -> None:
        """Write records whose numbers ascend from `first`."""
        rows = [
            {**_row(record), "number": number, "vector": vector}
            for number, (record, vector) in enumerate(zip(records, vectors, strict=True), first)
        ]
        for part in _parts(rows, max(1, min(PAGE, MESSAGE // (4 * self.width)))):
            self._call("upsert", data=part)
            self._written = True
        self._last = first + len(rows) - 1

    def remove(self, keys: Iterable[str]) -> int:
        """See `Engine.remove`. What remains on the disk, and for how long, is a matter of the server."""
        count = 0
        for part in _parts([_id(key) for key in dict.fromkeys(keys)], IDS):
            known = [row["id"] for row in self._query(_among(part), ["id"])]
            if known:
                self._call("delete", ids=known)
                self._written = True
            count += len(known)
        if count:
            self.flush()
            # Asks for it; nobody waits.
            self._call("compact")
        return count

    def records(self, where: Where | None = None) -> list[Record]:
        """See `Engine.records`."""
        rows = [row for page in self._pages(where, _FIELDS) for row in page]
        return [self._record(row) for row in sorted(rows, key=lambda row: int(row["number"]))]

    def vectors(self, keys: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        ids = [_id(key) for key in keys]
        found = self._rows(ids, ["id", "vector"])
        unknown = next((key for key, one in zip(keys, ids, strict=True) if one not in found), None)
        if unknown is not None:
            raise DataError(f"the gallery '{self.folder}' has no image '{unknown}'")
        return np.array([found[one]["vector"] for one in ids], np.float32).reshape(len(ids), self.width)

    def nearest(self, queries: Vectors, top: int, where: Where | None = None) -> list[list[Candidate]]:
        """See `Engine.nearest`."""
        queries = check_vectors(queries, len(queries), self.width, "queries")
        found = self._all_ids(queries, top, where) if top > MOST else self._ids(queries, top, where)
        rows = self._rows(list(dict.fromkeys(one for row in found for one in row)), [*_FIELDS, "vector"])
        candidates = {
            one: Candidate(self._record(row), np.asarray(row["vector"], np.float32)) for one, row in rows.items()
        }
        # One that another process has removed meanwhile is none.
        return [[candidates[one] for one in row if one in candidates] for row in found]

    def _ids(self, queries: Vectors, top: int, where: Where | None) -> list[list[str]]:
        """Return the ids of the nearest records of each query."""
        found: list[list[str]] = []
        for part in _parts(queries, QUERIES):
            hits = self._call("search", data=list(part), limit=top, filter=expression(where), anns_field="vector")
            found += [[hit["id"] for hit in row] for row in hits]
        return found

    def _all_ids(self, queries: Vectors, top: int, where: Where | None) -> list[list[str]]:
        """Return the ids of more nearest records of each query than a server returns."""
        from vireid_plugins.search.engines import vector_files

        ids: list[str] = []

        def parts() -> Iterator[tuple[Vectors, Any]]:
            for page in self._pages(where, ["id", "vector"]):
                numbers = np.arange(len(ids), len(ids) + len(page))
                ids.extend(row["id"] for row in page)
                yield np.array([row["vector"] for row in page], np.float32), numbers

        _, found = vector_files.nearest(parts(), np.ascontiguousarray(queries), top)
        return [[ids[one] for one in row if one >= 0] for row in found.tolist()]

    def count(self, where: Where | None = None) -> int:
        """See `Engine.count`."""
        return int(self._query(expression(where), ["count(*)"])[0]["count(*)"])

    def known(self) -> Known:
        """See `Engine.known`; it is read again when there are more or fewer records, or a newer one."""
        count, last = self.count(), self._known
        if last is None or last[0] != count or self._query(f"number > {last[1]}", ["count(*)"])[0]["count(*)"]:
            rows = [row for page in self._pages(None, _FIELDS) for row in page]
            newest = max((int(row["number"]) for row in rows), default=-1)
            self._known = last = len(rows), newest, Known.of(map(self._record, rows))
        return last[2]

    def replaced(self) -> bool:
        """See `Engine.replaced`."""
        try:
            return Place.read(self.folder).collection != self.place.collection
        except DataError:
            return True

    def rekey(self, moved: Mapping[str, str]) -> None:
        """See `Engine.rekey`. If it is interrupted, some records have both keys until it is called again."""
        for part in _parts(list(moved), max(1, min(IDS, MESSAGE // (4 * self.width)))):
            rows = self._rows([_id(key) for key in part], [*_FIELDS, "vector"])
            after = {_id(before): moved[before] for before in part}
            known = [{**row, "id": _id(after[one]), "key": stored_key(after[one])} for one, row in rows.items()]
            if known:
                self._call("upsert", data=known)
                self._call("delete", ids=list(rows))
                self._written = True

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return dict(Place.read(self.folder).facts)

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """See `Engine.set_facts`."""
        place = Place.read(self.folder)
        replace(place, facts={**place.facts, **facts}).write(self.folder)

    def flush(self) -> None:
        """See `Engine.flush`."""
        self._call("flush")
        self._written = False

    def close(self) -> None:
        """See `Engine.close`; what was written is flushed."""
        try:
            if self._written:
                self.flush()
        finally:
            self._connection.close()

    def _call(self, method: str, **given: Any) -> Any:
        with self._connection.understood():
            return getattr(self._connection.client, method)(self.place.collection, timeout=ANSWER, **given)

    def _query(self, text: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("query", filter=text, output_fields=list(fields))
        return found

    def _rows(self, ids: list[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of some ids, by id; those that are unknown are left out."""
        at_once = min(IDS, MESSAGE // (4 * self.width)) if "vector" in fields else IDS
        rows = [row for part in _parts(ids, max(1, at_once)) for row in self._query(_among(part), fields)]
        return {row["id"]: row for row in rows}

    def _pages(self, where: Where | None, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows that pass, in pages: ids are digests, so that each beginning has about as many."""
        size = max(1, min(PAGE, MESSAGE // (4 * self.width)) if "vector" in fields else PAGE)
        count, digits = self.count(where), 0
        while count > size * 16**digits:
            digits += 1
        for beginning in map("".join, product("0123456789abcdef", repeat=digits)):
            # 'g' is after all digits.
            inside = f"id >= {literal(beginning)} and id < {literal(beginning + 'g')}" if beginning else 'id != ""'
            yield self._query(expression(where, inside), fields)

    def _record(self, row: dict[str, Any]) -> Record:
        try:
            extra = row["extra"] if isinstance(row["extra"], dict) else json.loads(row["extra"])
            seconds = None if row["time"] == UNKNOWN else float(row["time"])
            texts = [str(row[name]) for name in _TEXTS]
            stamp, digest, camera, track = texts
            return Record(key_of(row["key"]), int(row["modality"]), stamp, digest, camera, seconds, track, extra)
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(self.folder, f"a row of '{self.place.collection}': {error}") from None


def _create_collection(client: Any, place: Place) -> None:
    """Create a collection, and its index."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("key", DataType.VARCHAR, max_length=TEXT)
    schema.add_field("number", DataType.INT64)
    schema.add_field("modality", DataType.INT8)
    schema.add_field("time", DataType.DOUBLE)
    for name in _TEXTS:
        # An embedded database writes the partitions of a message one after the other.
        by_camera = {"is_partition_key": True} if name == "camera" and place.uri else {}
        schema.add_field(name, DataType.VARCHAR, max_length=TEXT, **by_camera)
    schema.add_field("extra", DataType.JSON)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=place.width)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection(
        place.collection, schema=schema, index_params=index, consistency_level="Strong", timeout=ANSWER
    )


def _row(record: Record) -> dict[str, Any]:
    """Return the row of a record, but for its number and vector.

    Raises:
        DataError: a text of it is too long, or is none.
    """
    row = {name: getattr(record, name) for name in (*_TEXTS, "modality")}
    row |= {"id": _id(record.key), "key": stored_key(record.key), "extra": dict(record.extra)}
    row["time"] = UNKNOWN if record.time is None else float(record.time)
    for name, value in [*row.items(), ("extra", json.dumps(row["extra"], ensure_ascii=False))]:
        try:
            if isinstance(value, str) and len(value.encode()) > TEXT:
                raise DataError(f"'{record.key}': its {name} has more than {TEXT} bytes, which Milvus cannot keep")
        except UnicodeEncodeError:
            raise DataError(f"'{record.key}': its {name} {value!r} is no text") from None
    return row


def _id(key: str) -> str:
    return hashlib.sha256(os.fsencode(key)).hexdigest()


def _among(ids: Sequence[str]) -> str:
    return f"id in [{', '.join(map(literal, ids))}]"


def _parts(values: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
