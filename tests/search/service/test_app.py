"""What the service answers."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import Colors, paint
from PIL import Image
from service import id_of, names, noise, picture

from vireid_plugins.data.decode import read_image
from vireid_plugins.data.modality_guess import SURE
from vireid_plugins.search import Gallery
from vireid_plugins.search.calibration import Thresholds, keep
from vireid_plugins.search.engines.rows import Rows
from vireid_plugins.search.indexing import index_images, remove_images
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.querying import Wanted, query_images
from vireid_plugins.search.service.thumbnails import uploaded

Serve = Callable[..., Any]


def test_index_says_what_there_is_to_search(client: Any) -> None:
    said = client.get("/api/index").json()
    assert (said["images"], said["visible"], said["infrared"]) == (6, 4, 2)
    assert (said["cameras"], said["columns"], said["times"]) == (["3"], ["height"], ["2024-05-31T10:00:00+00:00"] * 2)
    assert (said["thresholds"], said["upload"]) == (None, 100_000)


def test_search_with_an_upload_finds_what_the_command_finds(
    serve: Serve, index: Path, colors: Any, tmp_path: Path
) -> None:
    (tmp_path / "query.png").write_bytes(picture((190, 50, 80)))
    with Gallery.load(index) as gallery:
        (expected,) = query_images(gallery, colors, tmp_path / "query.png", "auto", Wanted(3, "both"))[0]
    found = serve().post("/api/search?top=3", content=(tmp_path / "query.png").read_bytes())
    assert names(found) == [Path(hit.path).relative_to(tmp_path).as_posix() for hit in expected.hits]
    hits = found.json()["hits"]
    assert [hit["cosine"] for hit in hits] == [hit.cosine for hit in expected.hits]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    told = found.json()["query"]
    assert (told["id"], told["modality"]) == (id_of(tmp_path / "query.png"), "visible")
    assert told["modality_sure"] == (expected.certainty >= SURE)
    assert found.json()["searched"] == 6


def test_answers_tell_no_path_of_a_column(serve: Serve, index: Path, colors: Any, tmp_path: Path) -> None:
    text = "file,source,height\ng/day/1.jpg,/cameras/north/street.mp4,180\n"
    (tmp_path / "facts.csv").write_text(text)
    metadata = Metadata.read(tmp_path / "facts.csv")
    index_images(colors, tmp_path / "g", index, "folder", metadata=metadata)
    (found,) = serve().get("/api/images?where=height=180").json()["images"]
    assert found["columns"] == {"source": "street.mp4", "height": 180}


def test_answers_name_a_file_whose_name_is_no_text(serve: Serve, index: Path, colors: Any, tmp_path: Path) -> None:
    odd = tmp_path / "g" / "day" / os.fsdecode(b"\xff.jpg")
    (tmp_path / "g" / "day" / "1.jpg").rename(odd)
    index_images(colors, tmp_path / "g", index, "folder")
    client, id = serve(), id_of(odd)
    assert r"g/day/\udcff.jpg" in {one["name"] for one in client.get("/api/images").json()["images"]}
    assert r"g/day/\udcff.jpg" in names(client.post("/api/search", content=picture((190, 50, 80))))
    assert client.get(f"/api/search?like={id}").json()["query"]["name"] == r"g/day/\udcff.jpg"
    assert client.get(f"/api/images/{id}").status_code == 200
    found = client.get("/api/images", params={"folder": "g/day", "camera": "\N{LATIN SMALL LETTER E WITH ACUTE}"})
    assert found.json() == {"total": 0, "images": []}


def test_search_with_an_image_of_the_index_leaves_it_out(client: Any, shared: Path) -> None:
    id = id_of(shared / "g/day/1.jpg")
    found = client.get(f"/api/search?like={id}&find=visible")
    assert len(names(found)) == 3
    assert "g/day/1.jpg" not in names(found)
    assert found.json()["query"] == {"id": id, "name": "g/day/1.jpg", "modality": "visible", "modality_sure": True}
    # As an upload of the same file.
    uploaded = client.post("/api/search?find=visible", content=(shared / "g/day/1.jpg").read_bytes())
    assert uploaded.json()["hits"] == found.json()["hits"]


def test_uploaded_image_is_resized_as_those_of_the_index(tmp_path: Path) -> None:
    colors = Colors(tmp_path / "weights.pth", "INPUT.INTERPOLATION_TEST", "lanczos")
    (tmp_path / "noise.png").write_bytes(noise((40, 90), "PNG"))
    expected = read_image(str(tmp_path / "noise.png"), colors.cfg.INPUT.SIZE_TEST, "lanczos")
    found = uploaded((tmp_path / "noise.png").read_bytes(), colors, 10_000)
    np.testing.assert_array_equal(found.pixels, expected)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("camera=3", ["g/day/1.jpg"]),
        ("where=height>=170", ["g/day/1.jpg"]),
        ("where=height>=170&where=height<175", []),
        ("since=2024-05-31T10:00", ["g/day/1.jpg"]),
        ("until=2024-05-31T09:00", []),
        ("folder=g/night", ["g/night/4.png", "g/night/5.png"]),
        ("find=infrared", ["g/night/4.png", "g/night/5.png"]),
        ("folder=elsewhere", []),
    ],
)
def test_search_with_conditions_finds_what_passes(client: Any, asked: str, expected: list[str]) -> None:
    found = client.post(f"/api/search?{asked}", content=picture())
    assert sorted(names(found)) == expected
    assert found.json()["searched"] == len(expected)


def test_search_says_match_unsure_or_nobody_once_calibrated(serve: Serve, index: Path) -> None:
    client = serve()
    assert client.post("/api/search", content=picture()).json()["verdict"] is None
    with Gallery.load(index) as gallery:
        keep(gallery, Thresholds(match=0.999, unsure=0.9, rate=0.01, queries=100, images=6))
    assert client.post("/api/search", content=picture((200, 20, 90))).json()["verdict"] == "match"
    found = client.post("/api/search", content=picture((0, 0, 200))).json()
    assert found["verdict"] == "nobody"
    assert {hit["verdict"] for hit in found["hits"]} == {"nobody"}
    assert client.get("/api/index").json()["thresholds"] == {"match": 0.999, "unsure": 0.9, "rate": 0.01}


def test_search_with_people_tells_the_further_images_of_each(client: Any) -> None:
    hits = client.post("/api/search?people=true", content=picture()).json()["hits"]
    assert sum(1 + len(hit["alike"]) for hit in hits) == 6
    assert hits[0]["alike"][0].keys() >= {"id", "name", "cosine"}


def test_service_sees_what_another_process_has_changed(serve: Serve, index: Path, colors: Any, tmp_path: Path) -> None:
    client, id = serve(), id_of(tmp_path / "g/day/0.jpg")
    assert len(names(client.post("/api/search", content=picture()))) == 6
    assert client.get(f"/api/images/{id}").status_code == 200
    remove_images(index, tmp_path / "g/day/0.jpg")
    assert "g/day/0.jpg" not in names(client.post("/api/search", content=picture()))
    assert client.get(f"/api/images/{id}").status_code == 404
    assert client.get("/api/index").json()["images"] == 5
    paint(tmp_path / "more", "a.png")
    index_images(colors, tmp_path / "more", index, "visible")
    assert "more/a.png" in names(client.post("/api/search", content=picture()))


def test_no_request_reads_all_images(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read, rows = Rows.records, list[int]()

    def counting(self: Rows, *given: Any) -> Any:
        found = read(self, *given)
        rows.append(len(found))
        return found

    client, id = serve(), id_of(tmp_path / "g/day/1.jpg")
    monkeypatch.setattr(Rows, "records", counting)
    for path in ("index", "images?count=1", f"images/{id}", f"images/{id}/frames", f"search?like={id}&top=1"):
        assert client.get(f"/api/{path}").status_code == 200
    assert client.post("/api/search?top=1&find=visible", content=picture()).status_code == 200
    assert client.post(f"/api/marks?file={id}&same=yes", content=picture()).status_code == 200
    assert max(rows) == 1


def test_images_are_listed_page_by_page(client: Any) -> None:
    pages = [client.get(f"/api/images?start={start}&count=4").json() for start in (0, 4)]
    assert [page["total"] for page in pages] == [6, 6]
    assert sorted(one["name"] for page in pages for one in page["images"]) == [
        *(f"g/day/{n}.jpg" for n in range(4)), "g/night/4.png", "g/night/5.png",
    ]  # fmt: skip
    assert client.get("/api/images?camera=3").json()["total"] == 1
    # No number that the database could not take for one of its own.
    assert [client.get(f"/api/images?start={start}").status_code for start in (2**53, 10**20)] == [200, 400]


def test_image_is_a_small_jpeg_in_proportion(serve: Serve, tmp_path: Path, index: Path, colors: Any) -> None:
    Image.new("RGB", (1000, 500), (1, 200, 3)).save(tmp_path / "g/day/wide.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (1000, 500), (1, 100, 3)).save(tmp_path / "g/day/turned.jpg", exif=turned)
    index_images(colors, tmp_path / "g", index, "folder")
    client = serve()
    for name, size in (("wide.png", (192, 96)), ("turned.jpg", (192, 384)), ("0.jpg", (8, 8))):
        answer = client.get(f"/api/images/{id_of(tmp_path / 'g/day' / name)}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == size


def test_thermal_image_is_stretched_for_its_thumbnail(serve: Serve, tmp_path: Path, index: Path, colors: Any) -> None:
    import numpy as np

    counts = np.linspace(7000, 7400, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(counts).save(tmp_path / "g/night/counts.png")
    index_images(colors, tmp_path / "g", index, "folder")
    answer = serve().get(f"/api/images/{id_of(tmp_path / 'g/night/counts.png')}")
    low, high = Image.open(io.BytesIO(answer.content)).convert("L").getextrema()
    assert (low < 30, high > 225) == (True, True)


def test_pages_work_without_a_network(client: Any) -> None:
    for path in ("/", "/docs", "/page.js", "/page.css", "/docs.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        # Besides the command that the page shows.
        assert "https://" not in answer.text
        assert answer.text.replace("http://127.0.0.1:8000", "").count("http://") == 0


def test_openapi_describes_every_endpoint_and_its_errors(client: Any) -> None:
    api = client.get("/openapi.json").json()
    assert {(path, method) for path, methods in api["paths"].items() for method in methods} == {
        *(
            ("/api/index", "get"),
            ("/api/images", "get"),
            ("/api/images/{id}", "get"),
            ("/api/images/{id}/frames", "get"),
        ),
        *(("/api/search", "get"), ("/api/search", "post"), ("/api/marks", "post"), ("/api/marks", "delete")),
    }
    post = api["paths"]["/api/search"]["post"]
    assert list(post["requestBody"]["content"]) == ["image/*"]
    assert {one["name"] for one in post["parameters"]} >= {"find", "top", "where", "modality"}
    assert "429" in post["responses"]
