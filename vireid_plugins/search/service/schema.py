"""What requests and answers hold; `/openapi.json` describes them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from vireid_plugins.escape import as_utf8
from vireid_plugins.search.engines.where import Condition, narrowed
from vireid_plugins.search.querying import Wanted

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=500)]
# Paths are bytes, and JSON is UTF-8.
Shown = Annotated[str, AfterValidator(as_utf8)]


class Filters(BaseModel, extra="forbid"):
    """Conditions on the images, all of which must hold."""

    camera: Text = Field("", description="names of cameras, with commas between them")
    since: Text = Field("", description="the earliest time, in ISO 8601, in UTC unless it says otherwise")
    until: Text = Field("", description="the latest time; a date without a time means all of that day")
    folder: Text = Field("", description="a folder, as in the names of images")
    where: list[Text] = Field([], max_length=20, description="NAME=VALUE, or !=, <, <=, >, >=; may be repeated")


class Asked(Filters):
    """What is searched for."""

    modality: Literal["auto", "visible", "infrared"] = Field("auto", description="that of an uploaded query")
    find: Literal["visible", "infrared", "both"] = Field("both", description="modality of the images that are found")
    top: int = Field(20, ge=1, description="number of images, or of people")
    people: bool = Field(False, description="images of one track, and near-duplicates, are one answer")


class Like(Asked):
    """What is searched for with an image of the gallery."""

    like: Id = Field(description="id of an image of the gallery")


class Part(BaseModel, extra="forbid"):
    """Which part of a list is shown."""

    start: int = Field(0, ge=0, le=2**53, description="place of the first")
    count: int = Field(24, ge=1, le=100, description="number of images")


class Browsed(Filters, Part):
    """Which images are listed."""


class Marked(BaseModel, extra="forbid"):
    """A pair of a query and an image."""

    file: Id = Field(description="id of the image")
    query: Id | None = Field(None, description="id of the query; a new upload is the body of the request instead")


class Judged(Marked):
    """A pair, and whether it shows one person."""

    same: Literal["yes", "no"]


class Image(BaseModel):
    """An image of the gallery."""

    id: str = Field(description="SHA-256 of its content; empty for one that an earlier release has indexed")
    name: Shown = Field(description="its path below the folder that was indexed")
    modality: str
    camera: str
    time: str
    track: str
    columns: dict[str, str | int | float]
    frames: int = Field(description="number of images of its track, if the index has tracks; .../ID/frames lists them")


class Alike(Image):
    """A further image of a person."""

    cosine: float


class Hit(Alike):
    """An answer, from rank 1."""

    rank: int
    verdict: str | None = Field(description="match, unsure or nobody; null if the index was never calibrated")
    same: bool | None = Field(description="how it was marked")
    alike: list[Alike] = Field(description="with people: further images of the person")


class Query(BaseModel):
    """The query as it was understood."""

    id: str = Field(description="SHA-256 of its content")
    name: Shown = Field(description="of an image of the gallery")
    modality: str
    modality_sure: bool = Field(description="false if it was guessed and may be the other one")


class Answer(BaseModel):
    """A query and its hits, best first."""

    query: Query
    verdict: str | None = Field(description="of the best hit: match, unsure or nobody")
    searched: int = Field(description="number of images that pass the conditions")
    hits: list[Hit]


class Page(BaseModel):
    """Some images of the gallery."""

    total: int = Field(description="number of images that pass the conditions")
    images: list[Image]


class Thresholds(BaseModel):
    """What a calibration has found; see docs/image_search.md."""

    match: float
    unsure: float
    rate: float


class Summary(BaseModel):
    """What there is to search."""

    images: int = Field(description="number of images, or of tracks and of images without one")
    visible: int
    infrared: int
    frames: int = Field(description="number of images that tracks were made of; 0 if the index has no tracks")
    cameras: list[str]
    columns: list[str]
    times: list[str] = Field(description="the first and the last")
    thresholds: Thresholds | None
    upload: int = Field(description="largest upload, in bytes")
    top: int = Field(description="largest number of answers")


class Done(BaseModel):
    """A change was made."""

    kept: bool = Field(description="whether the index's folder keeps the query's image now")


class Error(BaseModel):
    """Why a request has no other answer."""

    error: str


def wanted_of(asked: Asked, folders: list[str]) -> Wanted:
    """Return what is searched for.

    Args:
        asked: the request.
        folders: paths of its folder.

    Raises:
        ConfigError: a condition is none.
    """
    wanted = Wanted(asked.top, asked.find, conditions_of(asked, folders), asked.people)
    wanted.filter()
    return wanted


def conditions_of(filters: Filters, folders: list[str]) -> tuple[Condition, ...]:
    """Return the conditions of a request; see `wanted_of`."""
    return narrowed(filters.camera, filters.since, filters.until, folders, filters.where)
