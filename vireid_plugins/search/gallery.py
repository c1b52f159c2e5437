"""A gallery of your own images: an engine with their vectors, the model that made them, and how they are found."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vireid_plugins.errors import DataError
from vireid_plugins.search.engines import Engine, Kind, Record, Where
from vireid_plugins.search.engines.base import Vectors, check_vectors, damaged
from vireid_plugins.search.engines.kind import opened
from vireid_plugins.search.gallery_folder import is_gallery, is_legacy
from vireid_plugins.search.legacy import convert
from vireid_plugins.search.moved import Moved
from vireid_plugins.search.people import grouped
from vireid_plugins.search.similarity import Scored, ordered

# Candidates beyond those asked for: an engine's order at the last place may be a matter of its rounding.
BEYOND = 10


@dataclass(frozen=True)
class Hit:
    """A retrieved image, or with `people` a person.

    Attributes:
        rank: from 1.
        record: what is known of the image; of a person, of its nearest image.
        cosine: its similarity to the query.
        alike: further images of the person, the nearest first.
    """

    rank: int
    record: Record
    cosine: float
    alike: list[Scored] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Path of the image."""
        return self.record.key


class Gallery:
    """Images with their vectors in a folder; to be closed after use, or a context manager.

    Args:
        engine: holds the images.
        folder: the gallery's folder.

    Attributes:
        made_by: the model that made the vectors; queries must come from the same model.
        folders: the indexed folders, each with itself and the linked folders that were followed from it.
        place: the path of the gallery's folder when it was written.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        try:
            self.refresh()
        except DataError:
            engine.close()
            raise
        self._follow(Moved(self.place, folder))

    def refresh(self) -> None:
        """Read anew what another process may have changed: the folders and the model. Images are always the newest.

        Raises:
            DataError: the gallery is damaged.
        """
        facts = self.engine.facts()
        try:
            self.made_by: dict[str, str] = dict(json.loads(facts.get("made_by", "{}")))
            self.folders: dict[str, list[str]] = dict(json.loads(facts.get("folders", "{}")))
            self.place = str(json.loads(facts["place"])) if "place" in facts else str(self.folder.resolve())
            if not all(isinstance(one, str) for key, tops in self.folders.items() for one in (key, *tops)):
                raise ValueError("its folders are no paths")
        except (ValueError, TypeError, RecursionError) as error:
            raise damaged(self.folder, str(error)) from None

    @classmethod
    def create(cls, folder: Path, width: int, made_by: dict[str, str], kind: Kind | None = None) -> "Gallery":
        """Create a gallery.

        Args:
            folder: its folder, which holds no gallery yet.
            width: D.
            made_by: see the class.
            kind: its engine; by default faiss.

        Raises:
            ConfigError: it cannot be written.
            DataError: the engine's server cannot be used.
        """
        gallery = cls((kind or Kind()).create(folder, width), folder)
        gallery.keep(made_by, {})
        return gallery

    @classmethod
    def load(cls, folder: Path) -> "Gallery":
        """Open a gallery. If its folder has moved together with its images, their paths are the new ones.

        One of an earlier release is converted.

        Raises:
            DataError: the gallery does not exist or cannot be read, or a file is missing or damaged.
            ConfigError: it is of an earlier release and its folder cannot be written.
        """
        if is_legacy(folder):
            convert(folder)
        return cls(opened(folder), folder)

    def __len__(self) -> int:
        return self.engine.count()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def keep(self, made_by: dict[str, str], folders: dict[str, list[str]]) -> None:
        """Write which model made the vectors and which folders were indexed, unless that is known already."""
        place = str(self.folder.resolve())
        known = self.made_by, self.folders, self.place
        if (made_by, folders, place) != known or "place" not in self.engine.facts():
            self.made_by, self.folders, self.place = made_by, folders, place
            facts = {"made_by": made_by, "folders": folders, "place": place}
            self.engine.set_facts({name: json.dumps(value) for name, value in facts.items()})

    def records(self, where: Where | None = None) -> list[Record]:
        """Return the images that pass a filter, in the order in which they were added."""
        return self.engine.records(where)

    def add(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Add images; one whose key is in the gallery is replaced; see `Engine.upsert`."""
        self.engine.upsert(records, vectors)

    def remove(self, keys: Iterable[str]) -> int:
        """Remove the images of some keys, and their vectors from the disk; return how many there were."""
        return self.engine.remove(keys)

    def search(
        self,
        queries: Vectors,
        top: int = 10,
        where: Where | None = None,
        left_out: Sequence[Callable[[Record], bool]] | None = None,
        people: bool = False,
    ) -> list[list[Hit]]:
        """Return the nearest images of each query, best first.

        Args:
            queries: (Q, D), L2-normalized.
            top: number of images per query, or of people.
            where: only images that pass this filter.
            left_out: for each query, whether an image is no answer to it, such as the query itself.
            people: images of one track, and near-duplicates, are one answer.

        Raises:
            DataError: the gallery is empty, or the queries are not (Q, D), finite and of length 1.
        """
        queries = check_vectors(queries, len(queries), self.engine.width, "queries")
        count = len(self)
        if not count:
            raise DataError("the gallery is empty; add images first")
        hits: list[list[Hit]] = [[] for _ in queries]
        open_queries, asked = list(range(len(queries))), min(top, count) + BEYOND
        while open_queries:
            found = self.engine.nearest(queries[open_queries], asked, where)
            unfinished = []
            for number, candidates in zip(open_queries, found, strict=True):
                vector_of = {one.record.key: one.vector for one in candidates}
                answers = ordered(queries[number], candidates)
                if left_out is not None:
                    answers = [one for one in answers if not left_out[number](one.record)]
                groups = grouped(answers, vector_of) if people else [[one] for one in answers]
                if len(groups) < top and len(candidates) == asked:
                    unfinished.append(number)
                hits[number] = [
                    Hit(rank, first.record, first.cosine, alike) for rank, (first, *alike) in enumerate(groups[:top], 1)
                ]
            open_queries, asked = unfinished, asked * 4
        return hits

    def _follow(self, moved: Moved) -> None:
        """Take over the new paths of what has moved together with the gallery."""
        if not moved:
            return
        folders = {moved.folder_of(root): [moved.folder_of(top) for top in tops] for root, tops in self.folders.items()}
        renamed = {one.key: moved.file_of(one.key) for one in self.records()}
        renamed = {before: after for before, after in renamed.items() if before != after}
        if renamed:
            self.engine.rekey(renamed)
            self.keep(self.made_by, folders)


def open_gallery(folder: Path) -> Gallery | None:
    """Return the gallery in a folder, or None if there is none.

    Raises:
        DataError: it cannot be read.
    """
    return Gallery.load(folder) if is_gallery(folder) else None
