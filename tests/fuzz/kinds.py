"""The kinds of files and words that users hand to the package, each with valid content and a way to read it.

`attempt` reads one changed example as the package would. It returns if the example is good after all, and raises one of
the package's own errors if not. Anything else that it raises is a fault.
"""

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from conftest import LITTLE, LITTLE_LLCM, LITTLE_REGDB, write_trees
from edits import BYTE_EDITS, TEXT_EDITS, WORDS, dropped, edited, replaced, reworded
from helpers import small_cfg
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from vireid_plugins.checkpoints import convert
from vireid_plugins.cli.main import command_parser, parsed
from vireid_plugins.config import load_config
from vireid_plugins.data.datasets import LLCM, SYSUMM01, RegDB
from vireid_plugins.data.decode import read_image
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import VireidCheckpointer
from vireid_plugins.errors import UserError
from vireid_plugins.evaluation import EvaluationPlan, load_features, select_protocols
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.search import Condition, Gallery, Record, Where

Strategy = st.SearchStrategy[Any]
# Values of any type, in place of one that was right.
ODD = st.recursive(
    st.one_of(
        st.sampled_from([None, True, -1, 0, 2**70, 1.5, float("nan"), float("inf"), "", "x", "\x00", "a\nb"]),
        st.text(max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", ""]), inner, max_size=2),
    max_leaves=3,
)


# What is done to an array.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "transpose": np.transpose,
    "flat": np.ravel,
    "empty": lambda array: np.atleast_1d(array)[:0],
    "nan": lambda array: np.full(array.shape, np.nan),
    "zero": lambda array: np.zeros(array.shape),
    "huge": lambda array: np.full(array.shape, 1e300),
    "text": lambda array: array.astype(str),
    "object": lambda array: array.astype(object),
    "half": lambda array: array.astype(np.float16) if array.dtype.kind == "f" else array,
    "complex": lambda array: np.ones(array.shape, complex),
    "double": lambda array: np.concatenate([np.atleast_1d(array)] * 2),
    "bool": lambda array: np.ones(array.shape, bool),
    "repeat": lambda array: np.broadcast_to(np.atleast_1d(array)[0], array.shape) if array.size else array,
}


class Kind:
    """A kind of input.

    Args:
        folder: an empty folder, in which every attempt runs.
    """

    # The strategy of its examples.
    examples: ClassVar[Strategy]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempt(self, example: Any) -> None:
        """Read an example."""
        raise NotImplementedError


class Images(Kind):
    """Image files of every format that data sets and folders to search may contain."""

    examples = st.tuples(st.integers(0, 9), BYTE_EDITS)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        generator = np.random.default_rng(0)
        gray, color = generator.integers(0, 256, (24, 12), np.uint8), generator.integers(0, 256, (24, 12, 3), np.uint8)
        deep = generator.integers(0, 65536, (24, 12), np.uint16)
        palette = Image.fromarray(color).convert("P")
        images = [Image.fromarray(one) for one in (color, gray, color, gray, deep, color, gray, deep, deep, color)]
        suffixes = ["jpg", "jpg", "png", "png", "png", "bmp", "tif", "tif", "pgm", "webp"]
        self.valid = []
        for image, suffix in zip([*images[:3], palette, *images[4:]], suffixes, strict=True):
            stream = io.BytesIO()
            image.save(stream, {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}.get(suffix, suffix.upper()))
            self.valid.append((f"image.{suffix}", stream.getvalue()))

    def attempt(self, example: Any) -> None:
        name, content = self.valid[example[0]]
        (self.folder / name).write_bytes(edited(content, example[1]))
        image = read_image(str(self.folder / name), (16, 8))
        assert image.shape == (16, 8, 3), image.shape
        assert image.dtype == np.uint8


class Configs(Kind):
    """YAML files, with `_BASE_`."""

    examples = st.one_of(TEXT_EDITS, BYTE_EDITS)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "base.yml").write_text(small_cfg("SYSU/agw.yml").dump())
        self.valid = "_BASE_: base.yml\nMODEL:\n  STREAMS:\n    COUNT: 2\n  LOSSES:\n    NAME: [LabelSmoothCE]\n" + (
            "INPUT:\n  VIEWS:\n    VISIBLE: [[]]\n    INFRARED: [[RandomErasing]]\nSOLVER:\n  BASE_LR: 3.5e-4\n"
            "  STEPS: [20, 50]\nTEST:\n  PROTOCOLS: [sysu/official/all/1shot]\nOUTPUT_DIR: runs/a\n"
        )

    def attempt(self, example: Any) -> None:
        as_text = isinstance(example[0][1], int)
        content = reworded(self.valid, example).encode("utf-8", "surrogatepass") if as_text else b""
        (self.folder / "run.yml").write_bytes(content if as_text else edited(self.valid.encode(), example))
        load_config(str(self.folder / "run.yml"))


class Lists(Kind):
    """Lists of identities and images of every data set."""

    examples = st.tuples(st.integers(0, 15), st.one_of(TEXT_EDITS, BYTE_EDITS))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_trees(folder, LITTLE, LITTLE_REGDB, LITTLE_LLCM)
        # Of RegDB's ten splits the first.
        files = sorted(file for file in folder.rglob("*.txt") if not re.search(r"_([2-9]|10)$", file.stem))
        self.valid = [(file, file.read_bytes()) for file in files]

    def attempt(self, example: Any) -> None:
        file, content = self.valid[example[0] % len(self.valid)]
        edits = example[1]
        if isinstance(edits[0][1], int):
            file.write_bytes(reworded(content.decode(), edits).encode("utf-8", "surrogatepass"))
        else:
            file.write_bytes(edited(content, edits))
        try:
            for kind, protocol in ((SYSUMM01, "sysu/agw/all/1shot"), (RegDB, "regdb/v2i"), (LLCM, "llcm/v2i")):
                options = {"split": 1} if kind is RegDB else {}
                if kind.dataset_dir in file.parts:
                    dataset = kind(root=str(self.folder), **options)
                    assert all(Path(item[0]).is_relative_to(dataset.folder) for item in dataset.train)
                    EvaluationPlan(dataset, select_protocols([protocol], None)).draw()
        finally:
            file.write_bytes(content)


class Draws(Kind):
    """The official gallery draws of SYSU-MM01, `rand_perm_cam.mat`."""

    examples = st.one_of(BYTE_EDITS, st.tuples(st.integers(0, 5), st.integers(0, 40), ODD))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_trees(folder, LITTLE, LITTLE_REGDB, LITTLE_LLCM)
        self.file = folder / "SYSU-MM01" / "exp" / "rand_perm_cam.mat"
        self.valid = self.file.read_bytes()

    def attempt(self, example: Any) -> None:
        if isinstance(example, list):
            self.file.write_bytes(edited(self.valid, example))
        else:
            self.file.write_bytes(self.valid)
            self._replace(*example)
        dataset = SYSUMM01(root=str(self.folder))
        plan = EvaluationPlan(dataset, select_protocols(["sysu/official/all/1shot"], None))
        for query, gallery in plan.trials(plan.protocols[0]):
            assert len(query) > 0
            assert len(gallery) > 0

    def _replace(self, camera: int, identity: int, new: Any) -> None:
        from scipy.io import loadmat

        permutations = loadmat(self.file)["rand_perm_cam"]
        people = permutations[camera, 0]
        with contextlib.suppress(Exception):  # what numpy and scipy cannot hold or write is no example
            people[identity % len(people), 0] = np.asarray("none" if new is None else new)
            savemat(self.file, {"rand_perm_cam": permutations})


class Features(Kind):
    """Feature files, read and scored."""

    arrays = st.tuples(st.sampled_from(["features", "paths", "split"]), st.sampled_from(["drop", *CHANGES]))
    examples = st.one_of(BYTE_EDITS, st.lists(arrays, min_size=1, max_size=2))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_trees(folder, LITTLE, LITTLE_REGDB, LITTLE_LLCM)
        dataset = RegDB(root=str(folder), split=1)
        self.plan = EvaluationPlan(dataset, select_protocols(["regdb/v2i"], None))
        paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
        features = np.random.default_rng(0).standard_normal((len(paths), 4)).astype(np.float32)
        self.arrays_of = {"features": features, "paths": np.array(paths), "split": np.array(1)}
        np.savez(folder / "f.npz", **self.arrays_of)
        self.valid = (folder / "f.npz").read_bytes()

    def attempt(self, example: Any) -> None:
        file = self.folder / "f.npz"
        if isinstance(example[0][1], tuple):
            file.write_bytes(edited(self.valid, example))
        else:
            arrays = dict(self.arrays_of)
            for name, how in example:
                if name in arrays:
                    arrays[name] = CHANGES.get(how, np.copy)(arrays[name])
                    if how == "drop":
                        del arrays[name]
            np.savez(file, **arrays)
        content = load_features(file)
        for result in score(content.features, content.paths, self.plan):
            text = json.dumps(result.as_json())
            assert "NaN" not in text, text
            assert all(0 <= number <= 100 for number in _numbers(result.as_json()["mean"])), text


class Checkpoints(Kind):
    """Checkpoints, resumed from, scored and converted."""

    examples = st.one_of(
        BYTE_EDITS,
        st.tuples(st.sampled_from(["replace", "drop"]), st.integers(0, 4000), st.one_of(ODD, st.just("tensor"))),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        keys = ["MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"]
        write_trees(folder, LITTLE, LITTLE_REGDB, LITTLE_LLCM)
        os.environ["FASTREID_DATASETS"] = str(folder)
        self.cfg = small_cfg("SYSU/one_stream.yml", *keys, "OUTPUT_DIR", str(folder / "run"))
        Trainer(self.cfg).train()
        self.trainer = Trainer(self.cfg)
        for name in ("model_best", "model_final"):
            (folder / "run" / f"{name}.pth").unlink()
        self.file = folder / "run" / "last.pth"
        self.valid = self.file.read_bytes()
        self.content = torch.load(self.file, weights_only=True)

    def attempt(self, example: Any) -> None:
        if isinstance(example, list):
            self.file.write_bytes(edited(self.valid, example))
        else:
            what, place, new = example
            new = torch.full((2, 3), float("nan")) if isinstance(new, str) and new == "tensor" else new
            content = dropped(self.content, place) if what == "drop" else replaced(self.content, place, new)
            torch.save(content, self.file)
        # The network is none of those that have public checkpoints.
        with contextlib.suppress(UserError):
            self._convert()
        for way in (self._score, self._resume):
            way()

    def _score(self) -> None:
        VireidCheckpointer(self.trainer.model).load(str(self.file))

    def _resume(self) -> None:
        self.trainer.resume_or_load(resume=True)

    def _convert(self) -> None:
        target = self.folder / "converted.pth"
        target.unlink(missing_ok=True)
        convert(self.file, target, "agw")


class Galleries(Kind):
    """Galleries, read and searched."""

    examples = st.tuples(st.integers(0, 9), BYTE_EDITS)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        generator = np.random.default_rng(0)
        vectors = generator.standard_normal((6, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with Gallery.create(folder / "valid", 8, {"weights": "w.pth", "config": ""}) as gallery:
            gallery.add([Record(f"/g/{number}.jpg", number % 2) for number in range(6)], vectors)
        self.queries = vectors[:2]

    def attempt(self, example: Any) -> None:
        folder = self.folder / "gallery"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / "valid", folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        file, change = files[example[0] % len(files)], example[1]
        file.write_bytes(edited(file.read_bytes(), change))
        with Gallery.load(folder) as gallery:
            for hits in gallery.search(self.queries, 3, Where((Condition("modality", "=", 1),))):
                assert all(-1 <= hit.cosine <= 1 for hit in hits), hits


class Commands(Kind):
    """Words of a command line; no command trains."""

    valid: ClassVar = [
        "score --features f.npz --protocol regdb/v2i --data-root . --split 1 --json out.json",
        "score --merge out1.json out2.json",
        "train --config-file run.yml --eval-only MODEL.WEIGHTS w.pth TEST.PROTOCOLS ['sysu/official/all/1shot']",
        "train --config-file run.yml --resume SOLVER.MAX_EPOCH 0 OUTPUT_DIR runs/a",
        "keys SOLVER",
        "plugins",
        "verify RegDB --root .",
        "report --run runs/a --output report.html",
        "convert agw public.t converted.pth",
        "search remove g --index people.index",
        "search query g/1.jpg --index people.index --top 5 --json hits.json",
        "visualize curves runs/a --output curves.png",
        "export --config-file run.yml --output exported",
        "splits --config-file run.yml --splits 1,2",
    ]
    examples = st.tuples(
        st.integers(0, len(valid) - 1),
        st.lists(st.tuples(st.sampled_from(["word", "insert", "drop", "swap"]), st.integers(0, 40), WORDS), max_size=3),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ["FASTREID_DATASETS"] = str(folder)
        write_trees(folder, LITTLE, LITTLE_REGDB, LITTLE_LLCM)
        keys = ["OUTPUT_DIR", "runs/none", "DATASETS.NAMES", "()"]  # no data to train on
        (folder / "run.yml").write_text(small_cfg("SYSU/one_stream.yml", *keys).dump())
        dataset = RegDB(root=str(folder), split=1)
        paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
        np.savez(folder / "f.npz", features=np.random.default_rng(0).random((len(paths), 4)), paths=paths)
        (folder / "out1.json").write_text("{}")
        os.chdir(folder)

    def attempt(self, example: Any) -> None:
        words = self.valid[example[0]].split(" ")
        for what, place, word in example[1]:
            at = 1 + place % len(words)
            if "/" in word or ".." in word:
                continue  # nothing is written elsewhere
            if what == "word":
                words[at : at + 1] = [word]
            elif what == "insert":
                words.insert(at, word)
            elif what == "drop":
                del words[at : at + 1]
            else:
                words[at - 1 : at + 1] = words[at - 1 : at + 1][::-1]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                args = parsed(command_parser(), words)
                vars(args).pop("main")(args)
            except SystemExit as end:
                if end.code not in (0, 2) and not isinstance(end.code, str):
                    raise


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in _numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []


KINDS: dict[str, type[Kind]] = {
    "images": Images,
    "yaml": Configs,
    "lists": Lists,
    "mat": Draws,
    "npz": Features,
    "checkpoints": Checkpoints,
    "galleries": Galleries,
    "commands": Commands,
}
