"""`vireid serve` on the loopback address: clients that search one after the other, with and without a filter of 7 %.

The service is a process of its own; the clients are threads of the measuring one, with a connection each, and ask for a
given number of searches together. An image of the index needs no network, an upload does.
"""

import hashlib
import http.client
import io
import itertools
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from speed_parts.measure import Subject
from speed_parts.searching import BLOCK, TOP, clustered
from speed_parts.sizes import network, size
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine.trainer import Trainer
from vireid_plugins.search import Gallery, Record
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.model_of import extractor_of, made_by

# Images of the index and the width of their vectors; clients; searches of all clients together, by how they ask.
IMAGES, WIDTH, CLIENTS = size(100_000, 300), size(256, 16), size((1, 8, 64), (1, 2))
LIKE, UPLOAD = "an image of the index", "an upload"
SEARCHES = {LIKE: size(256, 4), UPLOAD: size(64, 2)}
SIZE = size((288, 144), (64, 32))
# One camera of a hundred has 7 % of the images.
FILTER = "&camera=7"
# A search that takes longer has failed, seconds.
LONGEST = 300


def _digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _index(folder: Path, device: str) -> Path:
    """Return an index, whose network is untrained; it is made once."""
    place = folder / "people.index"
    if place.is_dir():
        return place
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "INPUT.SIZE_TEST", str(list(SIZE))]
    given += ["MODEL.HEADS.NUM_CLASSES", "8", "MODEL.HEADS.EMBEDDING_DIM", str(WIDTH), *network("agw")]
    cfg.merge_from_list([*given, "MODEL.WEIGHTS", str(folder / "weights.pth")])
    torch.manual_seed(0)
    torch.save({"model": Trainer.build_model(cfg).state_dict()}, folder / "weights.pth")
    with Gallery.create(place, WIDTH, made_by(Extractor(cfg))) as gallery:
        for start in range(0, IMAGES, BLOCK):
            numbers = range(start, min(start + BLOCK, IMAGES))
            gallery.add([_record(number) for number in numbers], clustered(len(numbers), 10 + start, WIDTH))
    return place


def _record(number: int) -> Record:
    camera = "7" if number % 100 < 7 else f"c{number % 97}"
    return Record(f"/photos/{number // 1000}/{number}.jpg", number % 2, digest=_digest(number), camera=camera)


def _serve(place: Path, ours: Connection) -> None:
    """Serve an index; tell the address, and then as often as asked the CPU seconds and the peak memory in bytes."""
    from vireid_plugins.search.service.access import Access
    from vireid_plugins.search.service.app import create_app
    from vireid_plugins.search.service.desk import Desk
    from vireid_plugins.search.service.limits import Limits
    from vireid_plugins.search.service.server import listening, run, url_of

    def tell() -> None:
        try:
            while ours.recv():
                ours.send((time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        except EOFError:
            # Whoever measures is gone.
            os._exit(1)

    # Makes the small network known to this process, too.
    network("agw")
    # As `vireid serve --rate 0`.
    limits = Limits(16 * 2**20, rate=0, seconds=LONGEST)
    with listening("127.0.0.1", 0) as listener, Desk(place, extractor_of, limits) as desk:
        threading.Thread(target=tell, daemon=True).start()
        run(create_app(desk, Access("127.0.0.1")), listener, 1, lambda: ours.send(url_of(listener)))


@cache
def _started(place: Path) -> tuple[str, Connection]:
    """Start a service of an index, which ends with this process; return its address, and whom to ask what it took."""
    context = multiprocessing.get_context("spawn")
    service, its = context.Pipe()
    context.Process(target=_serve, args=(place, its), daemon=True).start()
    its.close()
    return urlsplit(service.recv()).netloc, service


def _picture(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((128, 256)).save(stream, "JPEG")
    return stream.getvalue()


def _searches(how: str, clients: int, more: str, folder: Path, device: str) -> Callable[[], object]:
    address, service = _started(_index(folder, device))
    pictures = [_picture(seed) for seed in range(8)]
    numbers = itertools.count()
    kept: list[list[float]] = []

    def ask(left: "itertools.count[int]") -> list[float]:
        """Search until all searches are begun; return the seconds of each."""
        connection, took = http.client.HTTPConnection(address, timeout=LONGEST), list[float]()
        while next(left) < SEARCHES[how]:
            number, start = next(numbers), time.perf_counter()
            if how == LIKE:
                connection.request("GET", f"/api/search?like={_digest(number * 7919 % IMAGES)}&top={TOP}{more}")
            else:
                connection.request("POST", f"/api/search?top={TOP}{more}", pictures[number % len(pictures)])
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the service answered {answer.status}: {content[:200]!r}")
            took.append(time.perf_counter() - start)
        connection.close()
        return took

    def told() -> Any:
        service.send(True)
        return service.recv()

    def run() -> dict[str, float]:
        before, _ = told()
        left = itertools.count()
        with ThreadPoolExecutor(clients) as pool:
            kept.append([one for took in pool.map(ask, [left] * clients) for one in took])
        after, peak = told()
        # The first run warms up.
        took = np.concatenate(kept[1:] or kept)
        return {
            "p50 s": float(np.percentile(took, 50)),
            "p99 s": float(np.percentile(took, 99)),
            "CPU ms of the service": 1000 * (after - before) / SEARCHES[how],
            "GiB of the service": peak / 2**30,
        }

    return run


SUBJECTS = [
    Subject(
        f"searching with {how}, {clients} client{'s' * (clients > 1)}",
        "7 % filter" if more else "no filter",
        partial(_searches, how, clients, more),
        items=SEARCHES[how],
    )
    for how in SEARCHES
    for clients in CLIENTS
    for more in ("", FILTER)
]
