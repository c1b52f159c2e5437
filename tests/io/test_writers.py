"""Every place of the package that writes a file goes through `vireid_plugins.io.files`, or is explained here."""

import ast
from collections.abc import Iterator

import pytest
from helpers import ROOT

PACKAGE = ROOT / "vireid_plugins"
# Inside a `with` block of these a file is written beside the one it replaces.
WRITERS = {"write_atomic", "write_by_name", "write_folder"}
# Calls that write a file, by their last name; `open` and `memmap` only with a mode that writes.
WRITE = {
    *("write_text", "write_bytes", "touch", "rename", "symlink_to", "hardlink_to"),
    *("save", "savez", "savez_compressed", "savetxt", "tofile", "open_memmap", "dump", "savefig", "imwrite", "savemat"),
    *("copy2", "copyfile", "copyfileobj", "copytree", "move", "make_archive"),
    *("write_index", "to_csv", "to_json", "to_excel", "extractall", "urlretrieve", "download_url_to_file"),
    *("quantize_static", "quantize_dynamic", "quant_pre_process", "save_model", "export"),
    *("SummaryWriter", "TensorboardXWriter", "JSONWriter", "FileHandler", "RotatingFileHandler", "setup_logger"),
    *("NamedTemporaryFile", "mkstemp"),
}
# Functions of the package have these names too, as plain names and not as methods.
OWN = {"write_bytes", "save"}
OPEN = {"open", "fdopen", "memmap", "GFile", "ZipFile", "TarFile", "FileIO"}
READING = {"r", "rb", "rt", "br"}
# Where, and why it may.
ALLOWED = {
    "io/files.py": "the writers themselves",
    "io/output.py": "standard output and error, and what comes of them when they are closed",
    "modeling/backbones/pretrained.py _downloaded": "torch downloads to a file beside it, and renames that",
    "compat/patches.py _download": "torch downloads to a file beside it; its errors are translated",
    "data/synthetic/tree.py _write_person": "in a worker process, below the folder that `write_folder` yields",
    "data/synthetic/sysu.py _finish": "below the folder that `write_folder` yields",
    "detections/crops.py _crop_frame": "below the folder that `write_folder` yields",
    "detections/crop_file.py _saved": "to memory",
    "detections/video_frames.py __iter__": "a video is opened for reading",
    "search/engines/milvus_place.py _require_free": "locks the file of milvus-lite, and writes nothing",
    "data/cache.py _allocate": "the file that `write_by_name` yields",
    "engine/hooks/checkpoints.py after_epoch": "the checkpointer's `save`",
    "engine/hooks/checkpoints.py save_unscored": "the checkpointer's `save`",
    "engine/hooks/clustering.py _saved": "the checkpointer's `save`",
    "engine/hooks/evaluations.py after_epoch": "the checkpointer's `save`",
    "engine/hooks/stop_on_signal.py _end_if_asked": "the checkpointer's `save`",
    "engine/trainer.py _save_stopped": "the checkpointer's `save`",
    "engine/hooks/writers.py events_writer": "events of TensorBoard are appended; `_ending` translates their errors",
    "engine/trainer.py build_writers": "lines and events are appended; `Writers` translates their errors",
    "extraction/onnx.py to_onnx": "to memory, or the file that `write_by_name` of the exporter yields",
    "search/service/thumbnails.py thumbnail": "to memory",
    "visualize/_mpl.py drawn": "to memory; `write_bytes` writes it",
    "visualize/_mpl.py _pixels": "to memory; `write_bytes` writes it",
    "visualize/report.py thumbnail": "to memory",
}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def writes(call: ast.Call) -> bool:
    """Whether a call may write a file."""
    name = name_of(call)
    if any(word.arg == "mmap_mode" and ast.unparse(word.value) != "'r'" for word in call.keywords):
        return True
    if name in OWN and isinstance(call.func, ast.Name):
        return False
    if name in WRITE:
        return bool(call.args) or name != "dump"  # a configuration's `dump()` returns text
    if name not in OPEN or ast.unparse(call.func) == "Image.open":
        return False
    modes = [word.value for word in call.keywords if word.arg == "mode"]
    # Path.open takes the mode first, open second.
    first = 0 if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) not in ("os", "io", "np") else 1
    modes += call.args[first : first + 1]
    if not modes:
        return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "os"
    return not (isinstance(modes[0], ast.Constant) and modes[0].value in READING) and "O_RDONLY" not in ast.unparse(
        modes[0]
    )


def places(source: str) -> Iterator[tuple[str, int]]:
    """The function and line of every call that may write a file outside a writer's block."""

    def walk(node: ast.AST, function: str, inside: bool) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            inside = inside or any(name_of(call) in WRITERS for call in calls)
        if isinstance(node, ast.Call) and writes(node) and not inside:
            yield function, node.lineno
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function, inside)

    return walk(ast.parse(source), "", False)


def test_places_that_write_files_use_the_writers_or_are_explained() -> None:
    found = set()
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        for function, line in places(file.read_text(encoding="utf-8")):
            place = name if name in ALLOWED else f"{name} {function}"
            assert place in ALLOWED, f"{name}:{line} writes a file: use vireid_plugins.io.files, or explain it here"
            found.add(place)
    assert not set(ALLOWED) - found, "places that write nothing any more"


@pytest.mark.parametrize(
    "line",
    [
        "open('x', 'w')",
        "open('x', mode=mode)",
        "file.open('ab')",
        "file.write_text('x')",
        "np.savez(file, a=a)",
        "torch.save(x, file)",
        "json.dump(x, stream)",
        "figure.savefig('x.png')",
        "faiss.write_index(index, 'x')",
        "shutil.copyfile(a, b)",
        "SummaryWriter(folder)",
        "os.open(file, flags)",
        "np.load(file, mmap_mode='r+')",
    ],
)
def test_places_finds_what_writes(line: str) -> None:
    assert list(places(line)) == [("", 1)]
    assert list(places(f"with write_atomic(file) as stream:\n    {line}")) == []


@pytest.mark.parametrize(
    "line", ["open('x')", "file.open('rb')", "file.read_text()", "write_bytes(file, b'')", "a.copy()"]
)
def test_places_leaves_what_reads(line: str) -> None:
    assert list(places(line)) == []
