"""Index folders of images, update an index, and search it; the implementation of `vireid search`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vireid_plugins.config import get_cfg
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.thermal import reporting
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.search.extractor import NAMES, Extractor
from vireid_plugins.search.gallery import Gallery, Hit, digest_of, former_folder, image_files, require_room, update

# Words in a folder's name that identify the modality of its images.
FOLDERS = {
    VISIBLE: ("visible", "vis", "rgb", "colour", "color", "day"),
    INFRARED: ("infrared", "ir", "nir", "thermal", "tir", "night"),
}
WAYS = (*NAMES, "folder", "auto")
# Guesses of less than this probability are reported.
UNSURE = 0.9


class QueryResult(NamedTuple):
    """A query, its modality, the probability of that modality (1 unless it was guessed), and its hits."""

    query: str
    modality: int
    probability: float
    hits: list[Hit]


def modality_by_folder(file: Path, root: Path) -> int:
    """Return the modality that is in the name of a folder on the path from `root`, inclusive, to a file.

    Raises:
        DataError: no folder names a modality, or two folders name different ones.
    """
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    words = {word for part in parts for word in part.replace("-", "_").split("_")}
    named = [modality for modality, names in FOLDERS.items() if words & set(names)]
    if len(named) != 1:
        accepted = "; ".join(f"{MODALITIES[m]}: {', '.join(names)}" for m, names in FOLDERS.items())
        problem = "folder names of both modalities" if named else "no folder name of a modality"
        raise DataError(f"'{file}': its path has {problem}; folder names are {accepted}")
    return named[0]


def modality_teller(way: str, root: Path, extractor: Extractor) -> Callable[[Path], tuple[int, float]]:
    """Return a function from a file to its modality and the probability of that modality.

    Args:
        way: how modalities are determined, one of WAYS.
        root: the folder that is indexed or queried.
        extractor: reads the images whose modality is guessed.

    Raises:
        ConfigError: `way` is unknown.
    """
    require_name("--modality", way, WAYS)
    if way == "folder":
        return lambda file: (modality_by_folder(file, root if root.is_dir() else root.parent), 1.0)
    if way == "auto":
        return lambda file: extractor.guess(file)[:2]
    return lambda file: (NAMES[way], 1.0)


def made_by(extractor: Extractor) -> dict[str, str]:
    """Return what a gallery stores about the model: enough to rebuild it and to notice that it has changed."""
    weights = extractor.weights
    return {"weights": str(weights.absolute()), "sha256": digest_of(weights), "config": extractor.cfg.dump()}


def extractor_of(gallery: Gallery, device: str = "") -> Extractor:
    """Return the extractor that made the features of a gallery.

    Args:
        gallery: the gallery.
        device: device of the model; by default the one that the gallery was made on.

    Raises:
        DataError: the weights no longer exist or have changed.
    """
    weights = Path(gallery.made_by["weights"])
    if not weights.is_file():
        raise DataError(f"the gallery was made with the weights '{weights}', which no longer exist")
    if digest_of(weights) != gallery.made_by["sha256"]:
        raise DataError(f"the weights '{weights}' have changed since the gallery was made; index the images again")
    cfg = get_cfg()
    cfg.merge_from_text(gallery.made_by["config"], "the gallery's configuration")
    cfg.merge_from_list(["MODEL.WEIGHTS", str(weights), *(["MODEL.DEVICE", device] if device else [])])
    return Extractor(cfg)


@reporting()
def index_images(
    extractor: Extractor, folder: Path, target: Path, way: str, report: Callable[[int, int], Any] | None = None
) -> tuple[Gallery, dict[str, int], list[str]]:
    """Create a gallery of the images in a folder, or update an existing one.

    New and changed images are added; images that have disappeared from the folder are removed.

    Args:
        extractor: makes the features.
        folder: folder of images, or one image.
        target: folder of the gallery.
        way: how modalities are determined, one of WAYS.
        report: called with the number of processed images and of all images.

    Returns:
        the gallery, the numbers of added, unchanged and removed images, and the images whose guessed modality is
            uncertain.

    Raises:
        DataError: there is no image, one cannot be read, the existing gallery was made by another model, or `target`
            is not a gallery.
    """
    files = image_files(folder)
    tell = modality_teller(way, folder, extractor)
    unsure: list[str] = []

    def modality_of(file: Path) -> int:
        modality, probability = tell(file)
        if probability < UNSURE:
            unsure.append(f"{file}: {MODALITIES[modality]}, {probability:.0%} sure")
        return modality

    model = made_by(extractor)
    require_room(target)
    if (target / "gallery.json").is_file() or former_folder(target).is_dir():
        gallery = Gallery.load(target)
        if gallery.made_by["sha256"] != model["sha256"]:
            raise DataError(f"the gallery '{target}' was made with other weights; choose another folder with --index")
    else:
        modality = tell(files[0])[0]
        gallery = Gallery(extractor([files[0]], modality).shape[1], model)
    root = folder.absolute()
    present = {str(file.absolute()) for file in files}
    missing = [e.path for e in gallery.entries.values() if root in Path(e.path).parents and e.path not in present]
    removed = gallery.remove(missing)

    done = 0

    def embed(chunk: list[Path], modalities: list[int]) -> Any:
        nonlocal done
        vectors = extractor(chunk, modalities)
        done += len(chunk)
        if report is not None:
            report(done, len(files))
        return vectors

    added, kept = update(gallery, files, modality_of, embed, extractor.batch)
    gallery.save(target)
    return gallery, {"added": added, "unchanged": kept, "removed": removed}, unsure


@reporting()
def query_images(gallery: Gallery, extractor: Extractor, queries: Path, way: str, top: int) -> list[QueryResult]:
    """Return the nearest gallery images of one image, or of every image in a folder.

    Args:
        gallery: the gallery to search.
        extractor: makes the queries' features.
        queries: an image or a folder.
        way: how modalities are determined, one of WAYS.
        top: number of hits per query.

    Raises:
        DataError: there is no image, or one cannot be read.
    """
    files = image_files(queries)
    guesses = [modality_teller(way, queries, extractor)(file) for file in files]
    vectors = extractor(files, [modality for modality, _ in guesses])
    results = gallery.search(vectors, top)
    return [QueryResult(str(file), *guess, hits) for file, guess, hits in zip(files, guesses, results, strict=True)]
