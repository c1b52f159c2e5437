"""`vireid serve` as a process: where it listens, what it says, how it stops."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from helpers import HANG, ROOT, SMALL_FRESH, small_cfg, vireid
from service import noise, picture

from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.search import Extractor
from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.service.packages import require_packages

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index made by a network that was not trained."""
    import torch
    from PIL import Image

    folder = tmp_path_factory.mktemp("people")
    cfg = small_cfg("SYSU/one_stream.yml", *SMALL_FRESH)
    torch.save({"model": Trainer.build_model(cfg).state_dict()}, folder / "weights.pth")
    cfg.MODEL.WEIGHTS = str(folder / "weights.pth")
    for n in range(3):
        Image.new("RGB", (8, 16), (70 * n, 80, 90)).save(folder / f"{n}.png")
    index_images(Extractor(cfg), folder, folder / "people.index", "visible")
    return folder / "people.index"


@contextmanager
def serving(index: Path, *words: str, **env: str) -> Iterator[tuple[Any, str]]:
    """The process of a service at any port, and its address."""
    command = [sys.executable, "-m", "vireid_plugins", "serve", str(index), "--port", "0", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"3 images at (http://127\.0\.0\.1:\d+/)", line)
        assert found, line + process.communicate(timeout=HANG)[0]
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_serve_answers_until_it_is_told_to_stop(people: Path, number: signal.Signals) -> None:
    with serving(people) as (process, url):
        with urlopen(Request(f"{url}api/search?top=2", picture()), timeout=HANG) as answer:
            assert len(json.load(answer)["hits"]) == 2
        process.send_signal(number)
        said, _ = process.communicate(timeout=HANG)
        assert (process.returncode, said) == (0, "stopped\n")


@pytest.mark.slow
def test_serve_with_64_clients_that_send_what_is_no_image_stays_small(people: Path) -> None:
    """64 times 2 MiB, most of them refused and the others as large as may be, take no more memory than the limit."""
    odd = [bytes(2**21), b"P5 99999 99999 255\n" + bytes(2**20), picture()[:40], b"", noise((1200, 1200))]

    def one(number: int) -> int:
        try:
            with urlopen(Request(f"{url}api/search", odd[number % len(odd)]), timeout=HANG) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    with serving(people, "--rate", "0", "--upload", "2") as (process, url), ThreadPoolExecutor(64) as pool:
        assert [one(number) for number in range(len(odd))] == [422, 422, 422, 400, 200]
        before = _largest(process)
        assert set(pool.map(one, range(320))) == {422, 400, 200}
        assert _largest(process) - before < 250 * 2**20
        assert process.poll() is None


def _largest(process: Any) -> int:
    """The largest memory that a process has taken, bytes."""
    file = Path(f"/proc/{process.pid}/status")
    if not file.is_file():
        pytest.skip("memory of a process is read from /proc")
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", file.read_text())[0])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: other machines can reach it, so it needs a token"),
        (["--token", "short"], "the token must have 16 characters or more"),
        (["--port", "70000"], "--host 127.0.0.1 --port 70000: cannot listen there"),
        (["--host", "198.51.100.7", "--token", "x" * 16], "--host 198.51.100.7 --port 8000: cannot listen there"),
        (["--rate", "-1"], "limits must be positive"),
    ],
)
def test_serve_with_wrong_arguments_says_what_would_be_right(people: Path, words: list[str], text: str) -> None:
    ran = vireid("serve", str(people), *words)
    assert ran.returncode == 1
    assert text in ran.stderr


def test_serve_of_no_index_says_how_to_make_one(tmp_path: Path) -> None:
    ran = vireid("serve", str(tmp_path), "--port", "0")
    assert ran.returncode == 1
    assert "is not a gallery; create one: vireid search index" in ran.stderr


def test_serve_at_a_port_in_use_says_so(people: Path) -> None:
    from vireid_plugins.search.service.server import listening

    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: cannot listen there: .*; choose another port"):
            listening("127.0.0.1", port)


def test_connection_sends_what_it_has_at_once() -> None:
    """Else the second part of each answer waits for the client, 40 ms."""
    from vireid_plugins.search.service.server import listening

    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_serve_without_its_packages_says_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"(?s)needs uvicorn.*pip install 'vireid_plugins\[serve\]'"):
        require_packages()
