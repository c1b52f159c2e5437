"""What every request passes before anything is read of it, and what every answer carries."""

import math
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vireid_plugins.search.service.access import Access
from vireid_plugins.search.service.limits import THUMBNAIL, Rate

# Paths with what the gallery holds; the others are the same for everybody.
GUARDED = "/api/"
THUMBNAILS, LISTS = "/api/images/", "/frames"
# Scripts, styles and pictures come from the service alone, and no browser keeps them.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware that refuses a client which asks too often or may not ask.

    Args:
        app: what answers.
        access: who may ask.
        rate: counts the requests of clients.
    """

    def __init__(self, app: ASGIApp, access: Access, rate: Rate) -> None:
        self.app, self.access, self.rate = app, access, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        refused = self._refused(scope) if scope["path"].startswith(GUARDED) else None
        await (refused or self.app)(scope, receive, sent)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        """Return the answer to a request that is refused."""
        address = (scope.get("client") or ("",))[0]
        # Also of requests with a wrong token, which is so guessed no faster.
        path: str = scope["path"]
        small = path.startswith(THUMBNAILS) and not path.endswith(LISTS)
        wait = self.rate.wait(address, THUMBNAIL if small else 1.0)
        if wait:
            seconds = math.ceil(wait)
            return _error(429, f"too many requests; try again in {seconds} s", {"Retry-After": str(seconds)})
        refusal = self.access.refusal(Headers(scope=scope))
        if refusal is None:
            return None
        more = {"WWW-Authenticate": "Bearer"} if refusal[0] == 401 else {}
        return _error(*refusal, more)


def _error(status: int, text: str, headers: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)
