"""The bodies of requests: images, which are never on the disk, and of all clients together fit into memory."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from vireid_plugins.search.service.limits import Limits
from vireid_plugins.search.service.refusal import RefusedError

Result = TypeVar("Result")


class Bodies:
    """Reads bodies within limits.

    A request waits until there is room for what it has declared, before anything of it is read.

    Args:
        limits: what clients may send.

    Attributes:
        held: bytes of all bodies that are being read or answered.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request, for which there is room inside the `with` block.

        Raises:
            RefusedError: it is larger than an upload may be, a form, or does not come in time.
        """
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise RefusedError(415, "send the image itself as the body, not a form: curl --data-binary @FILE")
        declared = request.headers.get("content-length", "")
        # What declares nothing may become as large as any.
        size = int(declared) if declared.isdecimal() else self.limits.upload
        if size > self.limits.upload:
            raise self._too_large()
        await self._in_time(self._take(size), 503, "too many images are being sent; try again later")
        try:
            late = f"the image did not come within {self.limits.seconds:g} s"
            yield await self._in_time(self._whole(request), 408, late)
        finally:
            await self._take(-size)

    async def _take(self, size: int) -> None:
        """Wait until there is room for a body, and take it; or give it back."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.held + size <= self.limits.held)
            self.held += size
            self._changed.notify_all()

    async def _whole(self, request: Request) -> bytes:
        data = bytearray()
        try:
            async for part in request.stream():
                data += part
                if len(data) > self.limits.upload:
                    raise self._too_large()
        except ClientDisconnect:
            raise RefusedError(400, "the request ended early") from None
        return bytes(data)

    async def _in_time(self, work: Coroutine[Any, Any, Result], status: int, late: str) -> Result:
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise RefusedError(status, late) from None

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"the image is larger than {self.limits.upload:,} bytes")
