"""Marks of hits as right or wrong: ids of requests become the paths of `vireid_plugins.search.marks`."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from vireid_plugins.errors import UserError
from vireid_plugins.search import marks
from vireid_plugins.search.service.catalog import Catalog
from vireid_plugins.search.service.refusal import RefusedError
from vireid_plugins.search.service.schema import Judged, Marked

logger = logging.getLogger("fastreid." + __name__)


class Pairs:
    """The marks of a gallery, for any thread.

    Args:
        catalog: the gallery's images.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.folder = catalog, catalog.folder

    def of(self, query: str) -> Callable[[str], bool | None]:
        """Return a function that tells how an image is marked as a hit of a query, both by digest.

        Marks that cannot be read are none here: a search goes on without them.
        """
        try:
            names = set(self._names(query))
            same = {one.file: one.same for one in marks.read_marks(self.folder) if one.query in names}
        except UserError as error:
            logger.warning("%s", error)
            same = {}
        if not same:
            return lambda digest: None
        return lambda digest: next((same[key] for key in self._keys(digest) if key in same), None)

    def keep(self, pair: Judged, data: bytes, ending: str) -> bool:
        """Keep whether a query and an image show one person, and return whether the query's image is kept.

        Args:
            pair: the query and the image.
            data: a query that was uploaded, in place of the pair's; empty for none.
            ending: of its kind of file.

        Raises:
            RefusedError: an id is unknown, or the marks cannot be written.
        """
        file = self.catalog.entry(pair.file).key
        names = self._names(hashlib.sha256(data).hexdigest() if data else pair.query or "")
        if not names and not data:
            raise RefusedError(404, "query: the index has no such image, and the body of the request is empty")
        with _written():
            query = names[0] if names else marks.name_of_query(data, ending)
            marks.mark(self.folder, query, file, pair.same == "yes", b"" if names else data)
        return query.startswith(marks.FOLDER)

    def forget(self, pair: Marked) -> bool:
        """Forget a pair, if anybody has marked it, and return whether the query's image is kept all the same.

        Raises:
            RefusedError: the marks cannot be written.
        """
        for query in self._names(pair.query or ""):
            for file in self._keys(pair.file):
                with _written():
                    marks.mark(self.folder, query, file, None)
        return bool(marks.kept_queries(self.folder, pair.query or ""))

    def _names(self, query: str) -> list[str]:
        """Return the paths that a query has in the marks: images of the gallery, then a kept one."""
        return [*self._keys(query), *marks.kept_queries(self.folder, query)]

    def _keys(self, digest: str) -> Iterable[str]:
        return [one.key for one in self.catalog.copies(digest)]


@contextmanager
def _written() -> Iterator[None]:
    """Log an error of the marks inside a `with` block, and refuse the request without paths of this machine."""
    try:
        yield
    except UserError as error:
        logger.error("%s", error)
        raise RefusedError(503, "the marks cannot be written; the log of the service says why") from None
