"""`vireid serve` as a process: where it listens, what it says, how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from helpers import HANG, ROOT, SMALL_FRESH, small_cfg, vireid
from service import picture

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


def test_serve_without_its_packages_says_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"(?s)needs uvicorn.*pip install 'vireid_plugins\[serve\]'"):
        require_packages()
