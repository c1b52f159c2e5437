"""The command lines of README and docs run word for word, each page from top to bottom, on a desk made for it.

On the desk the shipped configurations stand under their own names with small networks and one epoch, and the data root
holds small synthetic trees. What a page takes for granted (images of the reader's, `make demo`) is laid there first.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import CONFIGS, ROOT, commands, needs_exporter, small_cfg
from PIL import Image
from test_docs_code import BLOCKS, READERS_OWN

from vireid_plugins.data.datasets import LLCM, SYSUMM01

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "stranger" / "README.md"]
# Not run, and why: the rest of a line is what is searched for.
LEFT_OUT = {
    "tools/benchmark.py": "minutes each; their rows are committed, tests/benchmark runs every subject's code",
    "tools/learning.py": "hours; tests/benchmark/test_learning.py",
    "tools/benchmarks/parity.py": "a clone of public code, and minutes; tests/tools/test_parity.py",
    "--num-machines": "several machines",
    "torchrun": "four devices; tests/engine/test_launch.py",
    "--num-gpus 4": "four devices; tests/engine/test_launch.py",
    "bagtricks.yml": "fast-reid's own trainer at full size; tests/examples/test_market1501.py",
    "convert_checkpoint.py": "a public checkpoint; tests/deploy/test_convert.py",
    "configs/SYSU/wrim.yml --output exported": "twenty seconds; docs/export.md runs the same",
    "train_regdb_splits.py": "ten trainings; tests/engine/test_splits.py",
    "MODEL.WEIGHTS agw.pth": "a public checkpoint; tests/deploy/test_convert.py",
    "osnet_miim_circle.yml": "a minute at the size it names; tests/modeling/test_mixing.py",
    "examples/stranger/configs": "needs the package installed; tests/examples/test_stranger.py",
}


def steps_of(page: Path, tree: Path) -> list[tuple[dict[str, str], list[str]]]:
    """Return environment and words of every command of a page, in its order."""
    text = re.sub(r"\s*\\\n\s*", " ", page.read_text())
    environment = {"FASTREID_DATASETS": str(tree), "OMP_NUM_THREADS": "1"}
    steps = []
    for line in re.findall(r"^ {4}((?:export|python|torchrun) .*)$", text, re.MULTILINE):
        words = shlex.split(line.replace("$FASTREID_DATASETS", str(tree)), comments=True)
        if words[0] == "export":
            given = dict(word.split("=") for word in words[1:])
            environment |= {key: str(tree) if value.startswith("/path/to") else value for key, value in given.items()}
        elif not any(left in line for left in LEFT_OUT):
            piped = words.index("|") if "|" in words else len(words)
            steps.append((dict(environment), words[1:piped]))
    return steps


@pytest.fixture
def desk(tree: Path, trained: Path, tmp_path: Path) -> Path:
    """A folder with the checkout's scripts, small configurations and what readers have."""
    for name in ("tools", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in CONFIGS:
        file = tmp_path / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(small_cfg(name).dump())
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "datasets").symlink_to(tree)
    shutil.copytree(trained, tmp_path / "demo" / "wrim")
    cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", "demo/wrim")
    (tmp_path / "demo" / "wrim" / "config.yaml").write_text(cfg.dump())
    for folder, camera in (("gallery/2019", 1), ("night", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for number, image in enumerate(sorted((tree / "SYSU-MM01" / f"cam{camera}").rglob("*.jpg"))[:12], start=1):
            shutil.copy(image, tmp_path / folder / f"{number:04d}.jpg")
    shutil.copytree(tmp_path / "gallery" / "2019", tmp_path / "gallery" / "2020")
    (tmp_path / "day").mkdir()
    for name in ("day/01.jpg", "day/02.jpg", "night/01.png"):
        Image.open(tmp_path / "night" / "0001.jpg").save(tmp_path / name)
    for name, dataset in (("F", SYSUMM01(str(tree))), ("F_llcm", LLCM(str(tree)))):
        paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
        np.savez(tmp_path / f"{name}.npz", features=np.random.default_rng(0).random((len(paths), 8)), paths=paths)
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[needs_exporter] if page.stem == "export" else [])
        for page in PAGES
        if steps_of(page, ROOT)
    ],
)
def test_the_commands_of_a_page(page: Path, desk: Path, tree: Path, trained: Path) -> None:
    steps = steps_of(page, tree)
    if not any("train_net.py" in words[0] for _, words in steps):
        shutil.copytree(trained, desk / "logs" / "SYSU" / "wrim")
    if page.name in READERS_OWN:
        (desk / "page.py").write_text("\n".join(BLOCKS[page]))
        steps.append(({}, ["page.py"]))
    for environment, words in steps:
        ran = commands().run(words, desk, {**environment, "HOME": str(desk)})
        assert ran.code == 0, f"{' '.join(words)}\n{ran.said[-3000:]}"


def test_what_is_left_out_is_there() -> None:
    """A reason for a line that no page has any more would hide the next one."""
    texts = "\n".join(page.read_text() for page in PAGES)
    assert not [left for left in LEFT_OUT if left not in texts]
