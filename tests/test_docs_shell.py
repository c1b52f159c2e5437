"""The command lines of README and docs are run on a desk made for each page, and all of them are parsed.

A line is run if no other of its kind has its flags too, with small data sets; as a slow test every page is run word for
word from top to bottom. On the desk the shipped configurations stand under their own names with small networks and one
epoch, and the data root holds small synthetic trees. What a page takes for granted (images of the reader's,
`make demo`) is laid there first.
"""

import argparse
import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import CONFIGS, HANG, ROOT, SCRIPTS, commands, needs_exporter, small_cfg
from PIL import Image
from test_docs_code import BLOCKS, READERS_OWN
from videos import numbered, write_video
from written_runs import write_run

import vireid_command
from vireid_plugins.cli import main
from vireid_plugins.config import load_config
from vireid_plugins.data.datasets import LLCM, SYSUMM01

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "plugin_package" / "README.md"]
# Not run, and why. Searched for in lines `as_verbs`.
LEFT_OUT = {
    "tools/benchmarks/speed.py": "minutes each, with rows that are committed; tests/tools/benchmarks/test_speed.py",
    "tools/benchmarks/learning.py": "hours; tests/tools/benchmarks/test_learning.py",
    "tools/benchmarks/parity.py": "a clone of public code, and minutes; tests/tools/benchmarks/test_parity.py",
    "--num-machines": "several machines",
    "torchrun": "four devices; tests/engine/test_launch.py",
    "--num-gpus 4": "four devices; tests/engine/test_launch.py",
    "bagtricks.yml": "fast-reid's own trainer at full size; tests/examples/test_market1501.py",
    "vireid convert": "a public checkpoint; tests/checkpoints/test_convert.py",
    "vireid splits": "ten trainings; tests/engine/test_splits.py",
    "vireid zoo": "several trainings; tests/experiments/test_zoo.py",
    "vireid sweep": "several trainings; tests/experiments/test_sweep.py",
    "--detector": "weights of a detector; tests/detections/test_detector.py",
    " agw.pth": "a public checkpoint; tests/checkpoints/test_convert.py",
    "osnet_miim_circle.yml": "a minute at the size it names; tests/modeling/test_mixing.py",
    "vireid serve": "it runs until it is stopped; tests/search/service/test_server.py",
    "--uri http": "a server; tests/search/engines/test_milvus.py",
    "LOGGERS": "the extras wandb and mlflow; tests/engine/loggers/test_real_packages.py",
    "examples/plugin_package/configs": "needs the package installed; tests/examples/test_plugin_package.py",
}


# Run as slow tests only, for the same reasons.
LEFT_TO_SLOW = {
    "examples/stock_trainer.py": "tests/examples/test_stock_trainer.py",
    "vireid export": "tests/deploy/test_export.py",
    "examples/onnx_search.py": "tests/deploy/test_export.py",
}
# Pages whose commands take longest: run as slow tests only. Their commands have tests of their own.
LONG = ("unsupervised", "visualization", "data")
SIZES = {"--train": 8, "--val": 2, "--test": 5, "--identities": 8, "--images": 2}


class Step(NamedTuple):
    """A command of a page."""

    environment: dict[str, str]
    words: list[str]

    @property
    def flags(self) -> set[str]:
        return {word for word in self.words if word.startswith("--")}

    @property
    def kind(self) -> tuple[str, ...]:
        """Verb or script, what it is told to do, and the name of the configuration, whatever the data set."""
        command, first, second, *_ = [*self.words, "", ""]
        if command == "vireid":
            command, first = f"vireid {first}", second
        elif command in SCRIPTS:
            command = f"vireid {SCRIPTS[command]}"
        config = Path(self.words[self.words.index("--config-file") + 1] if "--config-file" in self.words else "")
        return (
            command,
            "" if first.startswith("--") else first,
            config.parent.name if "demo/wrim" in str(config) else (config.stem),
        )

    @property
    def small(self) -> list[str]:
        """The words, with a small data set if it makes one."""
        if self.kind[0] != "vireid synthesize":
            return self.words
        given = {flag: str(size) for flag, size in SIZES.items() if flag in self.words}
        return [
            *(given.get(before, word) for before, word in zip(["", *self.words], self.words, strict=False)),
            *("--height", "48", "--width", "24"),
        ]


def as_verbs(text: str) -> str:
    """Return a text with `vireid` in place of scripts that are its verbs, and configs as it finds them."""
    for script, verb in SCRIPTS.items():
        text = text.replace(f"python {script}", f"vireid {verb}")
    return text.replace(" configs/", " ")


def lines_of(page: Path) -> list[str]:
    """Return the command lines of a page, each on one line."""
    text = re.sub(r"\s*\\\n\s*", " ", page.read_text())
    return re.findall(r"^ {4}((?:export|python|torchrun|vireid) .*)$", text, re.MULTILINE)


def before_pipe(words: list[str]) -> list[str]:
    """Return a command without what a shell does with its output."""
    return words[: next((n for n, word in enumerate(words) if word in ("|", ">")), len(words))]


@cache
def steps_of(page: Path, tree: Path) -> list[Step]:
    """Return the commands of a page that can be run, in its order."""
    environment = {"FASTREID_DATASETS": str(tree), "OMP_NUM_THREADS": "1"}
    steps = []
    for line in lines_of(page):
        words = shlex.split(line.replace("$FASTREID_DATASETS", str(tree)), comments=True)
        if words[0] == "export":
            given = dict(word.split("=") for word in words[1:])
            environment |= {key: str(tree) if value.startswith("/path/to") else value for key, value in given.items()}
        elif not any(left in as_verbs(line) for left in LEFT_OUT):
            steps.append(Step(dict(environment), before_pipe(words)[words[0] != "vireid" :]))
    return steps


def new_steps_of(page: Path, tree: Path) -> list[Step]:
    """Return those without which a kind of command or a flag of it would not be run on any page."""
    everywhere = [(other, step) for other in PAGES for step in steps_of(other, tree)]
    before = everywhere[: next((n for n, (other, _) in enumerate(everywhere) if other == page), 0)]

    def elsewhere(step: Step) -> bool:
        return any(step.kind == other.kind and step.flags < other.flags for _, other in everywhere) or any(
            step.kind == other.kind and step.flags == other.flags for _, other in before
        )

    steps = steps_of(page, tree)
    new = [step for step in steps if step.kind[0] not in LEFT_TO_SLOW and not elsewhere(step)]
    # A search needs the index that its page makes.
    index = next((step for step in steps if step.kind[:2] == ("vireid search", "index")), None)
    needs = any(step.kind[0] == "vireid search" for step in new)
    return [index, *new] if needs and index is not None and index not in new else new


@cache
def small_configs() -> dict[str, str]:
    return {name: small_cfg(name).dump() for name in CONFIGS}


@pytest.fixture
def desk(tree: Path, trained: Path, tmp_path: Path) -> Path:
    """A folder with the checkout's scripts, small configurations and what readers have."""
    for name in ("tools", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, text in small_configs().items():
        for file in (tmp_path / "configs" / name, tmp_path / name):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (tmp_path / "demo" / "datasets").symlink_to(tree)
    shutil.copytree(trained, tmp_path / "demo" / "wrim")
    cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", "demo/wrim")
    (tmp_path / "demo" / "wrim" / "config.yaml").write_text(cfg.dump())
    for folder, camera in (("gallery/2019", 1), ("night", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for number, image in enumerate(sorted((tree / "SYSU-MM01" / f"cam{camera}").rglob("*.jpg"))[:12], start=1):
            shutil.copy(image, tmp_path / folder / f"{number:04d}.jpg")
    shutil.copytree(tmp_path / "gallery" / "2019", tmp_path / "gallery" / "2020")
    for folder in ("strangers", "street"):
        shutil.copytree(tmp_path / "gallery" / "2019", tmp_path / folder)
    (tmp_path / "pairs.csv").write_text("query,file,same\nnight/0001.jpg,gallery/2020/0001.jpg,no\n")
    lines = [f"2020/{number:04d}.jpg,4,2024-05-31T23:{number}0Z,{160 + number}" for number in range(1, 6)]
    (tmp_path / "gallery" / "facts.csv").write_text("\n".join(["file,camera,time,height", *lines]))
    (tmp_path / "day").mkdir()
    for name in ("day/01.jpg", "day/02.jpg", "night/01.png"):
        Image.open(tmp_path / "night" / "0001.jpg").save(tmp_path / name)
    lay_video(tmp_path)
    for seed in range(2):
        for name, rate in (("agw", "0.0002"), ("caj", "0.00035")):
            for folder in (f"{name}_seed-{seed}", f"agw_rates/base_lr-{rate}_seed-{seed}"):
                ap = np.random.default_rng(seed).random(8)
                write_run(tmp_path / "logs" / folder, ap, "SOLVER.BASE_LR", rate, seed=seed)
    for name, dataset in (("F", SYSUMM01(str(tree))), ("F_llcm", LLCM(str(tree)))):
        paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
        np.savez(tmp_path / f"{name}.npz", features=np.random.default_rng(0).random((len(paths), 8)), paths=paths)
    lay_own(tree, tmp_path)
    lay_unlabeled(tmp_path)
    page = ROOT / "docs" / "own_method.md"
    (tmp_path / "my_method.py").write_text(BLOCKS[page][0])
    (method,) = re.findall(r"^```yaml\n.*?(^MODEL:.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_method.yml").write_text(f"_BASE_: SYSU/one_stream.yml\n{method}")
    return tmp_path


def lay_unlabeled(desk: Path) -> None:
    """Lay crops that nobody has labeled: the folders of the modalities alone say something."""
    for name in ("visible", "infrared"):
        (desk / "unlabeled" / name).mkdir(parents=True)
        for number, image in enumerate(sorted((desk / "mydata" / name).rglob("*.bmp")), start=1):
            Image.open(image).save(desk / "unlabeled" / name / f"{number}.png")


def lay_video(desk: Path) -> None:
    """Lay a video and a folder of frames, with boxes."""
    pictures = numbered(6)
    write_video(desk / "street.mp4", pictures)
    (desk / "street.txt").write_text("".join(f"{n},7,{n},2,12,20,0.9,-1,-1,-1\n" for n in range(1, 7)))
    (desk / "frames").mkdir()
    Image.fromarray(pictures[0]).save(desk / "frames" / "a.png")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 12, 20]}
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "person"}],
    }
    (desk / "frames.json").write_text(json.dumps(content))


def lay_own(tree: Path, desk: Path) -> None:
    """Lay images of the reader's own, a plug-in file, and features with labels."""
    for name in ("mydata", "newdata"):
        shutil.copytree(tree / "own", desk / name)
    rows = [
        f"{file.relative_to(desk / 'mydata')},{file.parent.name},{file.parent.parent.name}"
        for file in sorted((desk / "mydata").glob("*/*/*.bmp"))
    ]
    (desk / "mydata" / "list.csv").write_text("\n".join(["path,identity,modality", *rows]))
    loss = "from vireid_plugins.modeling.losses import LOSS_REGISTRY, HardTriplet\n"
    (desk / "my_parts.py").write_text(f"{loss}\n@LOSS_REGISTRY.register()\nclass MyLoss(HardTriplet):\n    pass\n")
    dataset, rng = LLCM(str(tree)), np.random.default_rng(0)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    labels = [f"{item[1]}" for item in (*dataset.query, *dataset.gallery)]
    modalities = [f"{dataset.modality(item)}" for item in (*dataset.query, *dataset.gallery)]
    np.save(desk / "F.npy", rng.random((len(paths), 8)))
    for name, lines in (("paths", paths), ("ids", labels), ("modalities", modalities)):
        (desk / f"{name}.txt").write_text("\n".join(lines))
    for name in ("Q", "G"):
        np.save(desk / f"{name}.npy", rng.random((6, 8)))
        (desk / f"{name.lower()}.txt").write_text("1\n2\n3\n1\n2\n3\n")
        (desk / f"{name.lower()}c.txt").write_text("1\n1\n1\n2\n2\n2\n" if name == "Q" else "3\n" * 6)
    np.save(desk / "D.npy", rng.random((6, 6)))


def run(page: Path, steps: list[Step], desk: Path, trained: Path) -> None:
    """Run the commands, and the code of a page that needs what they leave."""
    if not any(step.kind == ("vireid train", "", "wrim") and len(step.flags) == 1 for step in steps):
        shutil.copytree(trained, desk / "logs" / "SYSU" / "wrim")
    if not any(step.kind == ("vireid train", "", "one_stream") for step in steps):
        shutil.copytree(trained, desk / "logs" / "demo" / "one_stream")
    if page.name in READERS_OWN:
        (desk / "page.py").write_text("\n".join(BLOCKS[page]))
        steps = [*steps, Step(steps[-1].environment, ["page.py"])]
    for environment, words in steps:
        ran = commands().run(words, desk, {**environment, "HOME": str(desk)}, HANG)
        assert ran.code == 0, f"{' '.join(words)}\n{ran.said[-3000:]}"


def named(pages: list[Path]) -> list[Any]:
    return [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT).with_suffix("")),
            marks=[needs_exporter] if page.stem == "export" else [],
        )
        for page in pages
    ]


@pytest.mark.parametrize("page", named([page for page in PAGES if page.stem not in LONG and new_steps_of(page, ROOT)]))
def test_page_runs_its_new_commands(page: Path, desk: Path, tree: Path, trained: Path) -> None:
    steps = new_steps_of(page, tree)
    run(page, [Step(step.environment, step.small) for step in steps], desk, trained)


@pytest.mark.slow
@pytest.mark.parametrize("page", named([page for page in PAGES if steps_of(page, ROOT)]))
def test_page_runs_word_for_word(page: Path, desk: Path, tree: Path, trained: Path) -> None:
    run(page, steps_of(page, tree), desk, trained)


class Parsed(BaseException):
    """What a command was told, thrown in place of doing it."""


@pytest.mark.parametrize("page", named([page for page in PAGES if lines_of(page)]))
def test_page_has_arguments_that_its_commands_take(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line, also those that are not run: its own parser takes it, and its configuration passes the checks."""

    def told_by(parse: Callable[..., Any]) -> Callable[..., None]:
        def parsed(*given: Any, **more: Any) -> None:
            raise Parsed(parse(*given, **more))

        return parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", told_by(argparse.ArgumentParser.parse_args))
    monkeypatch.setattr(main, "parsed", told_by(main.parsed))
    monkeypatch.chdir(ROOT)
    # A shell would put it in; the parser takes it too.
    monkeypatch.setenv("FASTREID_DATASETS", "datasets")
    for line in lines_of(page):
        words = shlex.split(line, comments=True)
        scripts = [n for n, word in enumerate(words) if re.fullmatch(r"(tools|examples)/[\w/]+\.py|vireid", word)]
        if not scripts or "onnx_search" in line:
            continue
        words = before_pipe(words)[scripts[0] :]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.syspath_prepend(str(Path(words[0]).resolve().parent))
        with pytest.raises(Parsed) as told:
            runpy.run_path(vireid_command.__file__ if words[0] == "vireid" else words[0], run_name="__main__")
        (args,) = told.value.args
        if (ROOT / "configs" / as_verbs(f" {getattr(args, 'config_file', '')}").strip()).is_file():
            # A run that a page makes is not here; an override may be in its place.
            first = [word for word in (getattr(args, "run", ""),) if re.fullmatch(r"[A-Z_.]+(=.*)?", word)]
            load_config(args.config_file, [*first, *getattr(args, "opts", [])])


def test_left_out_lines_are_on_a_page() -> None:
    """A reason for a line that no page has any more would hide the next one."""
    texts = as_verbs("\n".join(page.read_text() for page in PAGES))
    assert not [left for left in (*LEFT_OUT, *LEFT_TO_SLOW) if left not in texts]
