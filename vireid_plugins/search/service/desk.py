"""Answers requests: what `app` has understood becomes queries, pictures and marks."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search.calibration import Thresholds
from vireid_plugins.search.engines import Record
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.modality import modality_teller
from vireid_plugins.search.querying import Wanted
from vireid_plugins.search.service import schema
from vireid_plugins.search.service.batching import Batcher, BusyError
from vireid_plugins.search.service.bodies import Bodies
from vireid_plugins.search.service.catalog import Catalog, content_of
from vireid_plugins.search.service.finder import Answered, Finder, Query
from vireid_plugins.search.service.limits import Limits
from vireid_plugins.search.service.opened import Opened
from vireid_plugins.search.service.pairs import Pairs
from vireid_plugins.search.service.refusal import RefusedError
from vireid_plugins.search.service.thumbnails import thumbnail, uploaded

# Images that are decoded at a time.
THREADS = 4
# Where modalities are told from, for a query that is no file.
_NOWHERE = Path(os.devnull)
Result = TypeVar("Result")


class Desk:
    """A gallery that answers; a context manager.

    Args:
        folder: folder of the gallery.
        extractor_of: returns the `Extractor` of a gallery.
        limits: what clients may ask for.

    Raises:
        DataError: the gallery or its model cannot be read.
    """

    def __init__(self, folder: Path, extractor_of: Callable[[Gallery], Any], limits: Limits) -> None:
        self.limits, self.bodies = limits, Bodies(limits)
        # Two connections, so that pictures do not wait for searches.
        searched, shown = Opened(folder), Opened(folder)
        self.catalog = Catalog(shown)
        self.pairs = Pairs(self.catalog)
        self.extractor = extractor_of(searched.gallery())
        self.finder = Finder(searched, self.extractor)
        self.batcher: Batcher[Query, Answered] = Batcher(self.finder, self.extractor.batch, limits.waiting)
        self._pool = ThreadPoolExecutor(THREADS, "vireid-service")

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *error: object) -> None:
        self.batcher.close()
        self._pool.shutdown()
        self.catalog.close()
        self.finder.close()

    async def summary(self) -> schema.Summary:
        """Return what there is to search."""
        found = await self._work(self.catalog.summary)
        thresholds = await self._work(self.catalog.thresholds)
        shown = None
        if thresholds is not None:
            shown = schema.Thresholds(match=thresholds.match, unsure=thresholds.unsure, rate=thresholds.rate)
        return schema.Summary(**found, thresholds=shown, upload=self.limits.upload, top=self.limits.top)

    async def browse(self, asked: schema.Browsed) -> schema.Page:
        """Return some images of the gallery."""
        filters = schema.Asked(**asked.model_dump(exclude={"start", "count"}))
        where = (await self._work(self._wanted, filters)).filter()
        images, total = await self._work(self.catalog.some, asked.start, asked.count, where)
        tell = await self._work(self.catalog.teller)
        return schema.Page(total=total, images=[schema.Image(**tell(one)) for one in images])

    async def thumbnail(self, digest: str) -> bytes:
        """Return a small JPEG of an image of the gallery."""
        return await self._work(self._thumbnail, digest)

    async def frames(self, digest: str, asked: schema.Part) -> schema.Page:
        """Return some images of the track of an image."""
        images, tell = await self._work(self.catalog.frames, digest), await self._work(self.catalog.teller)
        shown = images[asked.start : asked.start + asked.count]
        return schema.Page(total=len(images), images=[schema.Image(**tell(one)) for one in shown])

    async def search(self, data: bytes, asked: schema.Asked) -> schema.Answer:
        """Return the hits of an image that was uploaded."""
        wanted = await self._work(self._wanted, asked)
        image = await self._work(self._uploaded, data)
        modality, certainty = modality_teller(asked.modality, _NOWHERE)(_NOWHERE, image.pixels)
        digest = hashlib.sha256(data).hexdigest()
        told = schema.Query(id=digest, name="", modality=MODALITIES[modality], modality_sure=certainty >= SURE)
        tracks = await self._work(self.catalog.tracks, digest)
        return await self._answer(told, Query(wanted, digest, modality, pixels=image.pixels, tracks=tracks))

    async def search_like(self, asked: schema.Like) -> schema.Answer:
        """Return the hits of an image of the gallery."""
        wanted = await self._work(self._wanted, asked)
        record, vector = await self._work(self.catalog.query, asked.like)
        name, tracks = await self._work(self._name, record), await self._work(self.catalog.tracks, record.digest)
        told = schema.Query(id=record.digest, name=name, modality=MODALITIES[record.modality], modality_sure=True)
        return await self._answer(told, Query(wanted, record.digest, record.modality, vector=vector, tracks=tracks))

    async def mark(self, pair: schema.Judged, data: bytes) -> bool:
        """Keep whether a query and an image show one person, and return whether the query's image is kept.

        Args:
            pair: the query and the image.
            data: a query that was uploaded, in place of the pair's; empty for none.
        """
        ending = (await self._work(self._uploaded, data)).ending if data else ""
        return await self._work(self.pairs.keep, pair, data, ending)

    async def unmark(self, pair: schema.Marked) -> bool:
        """Forget a pair, and return whether the query's image is kept all the same."""
        return await self._work(self.pairs.forget, pair)

    async def _answer(self, told: schema.Query, query: Query) -> schema.Answer:
        try:
            answer = asyncio.wrap_future(self.batcher.ask(query))
        except BusyError:
            raise RefusedError(503, "too many queries are waiting; try again later") from None
        return await self._work(self._told, told, query, await self._in_time(answer))

    def _told(self, told: schema.Query, query: Query, answered: Answered) -> schema.Answer:
        """Return an answer in words and numbers."""
        hits = answered.hits
        thresholds, same, tell = self.catalog.thresholds(), self.pairs.of(query.digest), self.catalog.teller()
        return schema.Answer(
            query=told,
            verdict=_verdict(thresholds, hits[0].cosine if hits else None),
            searched=answered.searched,
            hits=[
                schema.Hit(
                    **tell(hit.record),
                    rank=hit.rank,
                    cosine=hit.cosine,
                    verdict=_verdict(thresholds, hit.cosine),
                    same=same(hit.record.digest),
                    alike=[schema.Alike(**tell(one), cosine=cosine) for one, cosine in hit.alike],
                )
                for hit in hits
            ],
        )

    def _wanted(self, asked: schema.Asked) -> Wanted:
        if asked.top > self.limits.top:
            raise RefusedError(400, f"top: at most {self.limits.top}, got {asked.top}")
        try:
            return schema.wanted_of(asked, self.catalog.folders(asked.folder) if asked.folder else [])
        except ConfigError as error:
            raise RefusedError(400, str(error)) from None

    def _uploaded(self, data: bytes) -> Any:
        try:
            return uploaded(data, self.extractor, self.limits.pixels)
        except DataError as error:
            raise RefusedError(422, str(error)) from None

    def _name(self, record: Record) -> str:
        name: str = self.catalog.teller()(record)["name"]
        return name

    def _thumbnail(self, digest: str) -> bytes:
        # A gallery that cannot be read is no missing image, and its path nothing for a client.
        records = self.catalog.find(digest)
        try:
            return thumbnail(content_of(records), self.extractor.stretch)
        except DataError as error:
            raise RefusedError(404, str(error)) from None

    async def _work(self, work: Callable[..., Result], *given: Any) -> Result:
        """Return what a function returns that takes its time, from a thread."""
        return await self._in_time(asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *given)))

    async def _in_time(self, answer: "asyncio.Future[Result]") -> Result:
        try:
            return await asyncio.wait_for(answer, self.limits.seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise RefusedError(503, f"no answer within {self.limits.seconds:g} s; try again later") from None


def _verdict(thresholds: Thresholds | None, cosine: float | None) -> str | None:
    return None if thresholds is None else thresholds.verdict(cosine)
