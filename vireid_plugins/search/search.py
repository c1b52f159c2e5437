"""What `vireid search` does: index folders, keep an index current, and find images in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vireid_plugins.config import get_cfg
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search.extractor import NAMES, Extractor
from vireid_plugins.search.gallery import Gallery, Hit, digest_of, former_folder, image_files, require_room, update

# Words in a folder's name that say what is in it.
FOLDERS = {
    VISIBLE: ("visible", "vis", "rgb", "colour", "color", "day"),
    INFRARED: ("infrared", "ir", "nir", "thermal", "tir", "night"),
}
WAYS = (*NAMES, "folder", "auto")
# Guesses of less than this probability are reported.
UNSURE = 0.9


class Found(NamedTuple):
    """A query, its modality, how sure that is (1 where it was told), and its hits."""

    query: str
    modality: int
    probability: float
    hits: list[Hit]


def modality_by_folder(file: Path, root: Path) -> int:
    """Return the modality that a folder between a file and `root` names, `root` included.

    Raises:
        DataError: none of them does, or they disagree.
    """
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    words = {word for part in parts for word in part.replace("-", "_").split("_")}
    said = [modality for modality, names in FOLDERS.items() if words & set(names)]
    if len(said) != 1:
        known = "; ".join(f"{MODALITIES[m]}: {', '.join(names)}" for m, names in FOLDERS.items())
        raise DataError(f"'{file}': no folder of its path says whether it is visible or infrared, or two do ({known})")
    return said[0]


def modality_teller(way: str, root: Path, extractor: Extractor) -> Callable[[Path], tuple[int, float]]:
    """Return a function from a file to its modality and how sure that is.

    Args:
        way: of WAYS.
        root: the folder that is indexed or queried.
        extractor: reads the images that are guessed.

    Raises:
        ConfigError: there is no such way.
    """
    if way in NAMES:
        return lambda file: (NAMES[way], 1.0)
    if way == "folder":
        return lambda file: (modality_by_folder(file, root if root.is_dir() else root.parent), 1.0)
    if way == "auto":
        return lambda file: extractor.guess(file)[:2]
    raise ConfigError(f"--modality: '{way}' does not exist; there are {', '.join(WAYS)}")


def made_by(extractor: Extractor) -> dict[str, str]:
    """Return what a gallery remembers of the model: enough to build it again, and to tell when it has changed."""
    weights = extractor.weights
    return {"weights": str(weights.absolute()), "sha256": digest_of(weights), "config": extractor.cfg.dump()}


def extractor_of(gallery: Gallery, device: str = "") -> Extractor:
    """Return the extractor that a gallery was made by.

    Args:
        gallery: the gallery.
        device: where it works; by default where the gallery was made.

    Raises:
        DataError: the weights are gone or have changed.
    """
    weights = Path(gallery.made_by["weights"])
    if not weights.is_file():
        raise DataError(f"the gallery was made with the weights '{weights}', which do not exist any more")
    if digest_of(weights) != gallery.made_by["sha256"]:
        raise DataError(f"the gallery was made with other weights than '{weights}' now holds; index the images anew")
    cfg = get_cfg()
    cfg.merge_from_text(gallery.made_by["config"], "the gallery's configuration")
    cfg.merge_from_list(["MODEL.WEIGHTS", str(weights), *(["MODEL.DEVICE", device] if device else [])])
    return Extractor(cfg)


def index_images(
    extractor: Extractor, folder: Path, target: Path, way: str, report: Callable[[int, int], Any] | None = None
) -> tuple[Gallery, dict[str, int], list[str]]:
    """Make a gallery of the images of a folder, or bring the one that is there up to date.

    Images that are new or changed are added, those of this folder that are gone are removed.

    Args:
        extractor: makes the features.
        folder: of images, or one image.
        target: of the gallery.
        way: how the modality is told, of WAYS.
        report: called with the number of images that are done and of all.

    Returns:
        the gallery, counts by what was done, and the images whose modality was guessed and is not sure.

    Raises:
        DataError: there is no image, one cannot be read, the gallery there was made by another model, or something else
            is there.
    """
    files = image_files(folder)
    tell = modality_teller(way, folder, extractor)
    unsure: list[str] = []

    def modality_of(file: Path) -> int:
        modality, probability = tell(file)
        if probability < UNSURE:
            unsure.append(f"{file}: {MODALITIES[modality]}, {probability:.0%} sure")
        return modality

    maker = made_by(extractor)
    require_room(target)
    if (target / "gallery.json").is_file() or former_folder(target).is_dir():
        gallery = Gallery.load(target)
        if gallery.made_by["sha256"] != maker["sha256"]:
            raise DataError(f"the gallery '{target}' was made with other weights; name another folder with --index")
    else:
        modality = tell(files[0])[0]
        gallery = Gallery(extractor([files[0]], modality).shape[1], maker)
    here = folder.absolute()
    present = {str(file.absolute()) for file in files}
    gone = [e.path for e in gallery.entries.values() if here in Path(e.path).parents and e.path not in present]
    removed = gallery.remove(gone)

    done = 0

    def embed(some: list[Path], modalities: list[int]) -> Any:
        nonlocal done
        vectors = extractor(some, modalities)
        done += len(some)
        if report is not None:
            report(done, len(files))
        return vectors

    added, kept = update(gallery, files, modality_of, embed, extractor.batch)
    gallery.save(target)
    return gallery, {"added": added, "unchanged": kept, "removed": removed}, unsure


def query_images(gallery: Gallery, extractor: Extractor, queries: Path, way: str, top: int) -> list[Found]:
    """Find the nearest gallery images of one image, or of every image of a folder.

    Args:
        gallery: is searched.
        extractor: makes the queries' features.
        queries: an image or a folder.
        way: how the modality is told, of WAYS.
        top: how many images are found for each.

    Raises:
        DataError: there is no image, or one cannot be read.
    """
    files = image_files(queries)
    told = [modality_teller(way, queries, extractor)(file) for file in files]
    vectors = extractor(files, [modality for modality, _ in told])
    found = gallery.search(vectors, top)
    return [Found(str(file), *of, hits) for file, of, hits in zip(files, told, found, strict=True)]
