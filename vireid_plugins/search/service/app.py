"""The endpoints of the service, and their description for `/openapi.json`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vireid_plugins.errors import UserError
from vireid_plugins.escape import as_utf8
from vireid_plugins.search.service import schema
from vireid_plugins.search.service.access import Access
from vireid_plugins.search.service.desk import Desk
from vireid_plugins.search.service.guard import Guard
from vireid_plugins.search.service.limits import Rate
from vireid_plugins.search.service.refusal import RefusedError

logger = logging.getLogger("fastreid." + __name__)
PAGE = Path(__file__).parent / "page"
# The files of the page, by path.
PAGES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/docs.js": ("docs.js", "text/javascript"),
}
ABOUT = (
    "Finds the images of an index that show the person of a query, across visible and infrared. Images are named by "
    "the SHA-256 of their content. A service with a token wants the header `Authorization: Bearer TOKEN`."
)
STATUSES = {
    400: "a parameter is wrong",
    401: "the token is missing or wrong",
    403: "asked by a page from elsewhere, or under another name than one of this machine",
    404: "the index has no such image",
    408: "the body did not come in time",
    413: "the body is too large",
    415: "the body is no plain image, such as a form",
    422: "the image cannot be read",
    429: "too many requests",
    503: "too many queries wait, too many images are being sent, the answer took too long, or the index cannot be read",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": schema.Error} for status, text in STATUSES.items()
}


def create_app(desk: Desk, access: Access) -> FastAPI:
    """Return the service as an application of ASGI.

    Args:
        desk: answers the requests.
        access: who may ask.
    """
    app = FastAPI(title="vireid", description=ABOUT, version="1", docs_url=None, redoc_url=None, responses=RESPONSES)
    app.add_middleware(Guard, access=access, rate=Rate(desk.limits.rate))
    _add_errors(app)
    _add_pages(app)
    _add_images(app, desk)
    _add_search(app, desk)
    _add_marks(app, desk)
    return app


def _add_images(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/index")
    async def index() -> schema.Summary:
        """Say what there is to search."""
        return await desk.summary()

    @app.get("/api/images")
    async def images(asked: Annotated[schema.Browsed, Query()]) -> schema.Page:
        """List images of the index."""
        return await desk.browse(asked)

    @app.get("/api/images/{id}/frames")
    async def frames(id: schema.Id, asked: Annotated[schema.Part, Query()]) -> schema.Page:
        """List the images of the track that an image of the index stands for, or is of, by time."""
        return await desk.frames(id, asked)

    @app.get("/api/images/{id}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def image(id: schema.Id) -> Response:
        """Send a small picture of an image of the index."""
        return Response(await desk.thumbnail(id), media_type="image/jpeg")


def _add_search(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/search")
    async def search_like(asked: Annotated[schema.Like, Query()]) -> schema.Answer:
        """Search with an image of the index."""
        return await desk.search_like(asked)

    @app.post("/api/search", openapi_extra=_body("the content of an image file", required=True))
    async def search(request: Request, asked: Annotated[schema.Asked, Query()]) -> schema.Answer:
        """Search with an image that is the body of the request; it is not kept."""
        async with desk.bodies.read(request) as data:
            if not data:
                raise RefusedError(400, "the body of the request must be the content of an image file; it is empty")
            return await desk.search(data, asked)


def _add_marks(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/marks", openapi_extra=_body("a query that is no image of the index", required=False))
    async def mark(request: Request, pair: Annotated[schema.Judged, Query()]) -> schema.Done:
        """Keep whether a query and an image show one person; a query that is the body of the request is kept too."""
        async with desk.bodies.read(request) as data:
            return schema.Done(kept=await desk.mark(pair, data))

    @app.delete("/api/marks")
    async def unmark(pair: Annotated[schema.Marked, Query()]) -> schema.Done:
        """Forget a pair, and its query if nobody names it any more."""
        return schema.Done(kept=await desk.unmark(pair))


def _body(text: str, required: bool) -> dict[str, Any]:
    """Return the description of a body that is an image."""
    content = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"description": text, "required": required, "content": content}}


def _add_pages(app: FastAPI) -> None:
    for path, (name, kind) in PAGES.items():
        app.add_api_route(path, _page((PAGE / name).read_text(encoding="utf-8"), kind), include_in_schema=False)


def _page(text: str, kind: str) -> Callable[[], Response]:
    def page() -> Response:
        return Response(text, media_type=kind)

    return page


def _add_errors(app: FastAPI) -> None:
    """Give every error one form: a status, and `{"error": TEXT}`."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return _error(error.status, error.text)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return _error(400, f"{name}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(UserError)
    async def failed(request: Request, error: UserError) -> JSONResponse:
        # It may name paths of this machine.
        logger.error("%s", error)
        return _error(503, "the index cannot be searched; the log of the service says why")


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": as_utf8(text)}, status)
