"""The model that made a gallery: what the gallery stores of it, and how it is found and built again."""

from pathlib import Path

from vireid_plugins.config.check import require_device
from vireid_plugins.config.node import ABSENT, changes
from vireid_plugins.engine.bound_keys import gallery_keys
from vireid_plugins.engine.runs import stored_config, usable, use_device
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.moved import Moved


def made_by(extractor: Extractor) -> dict[str, str]:
    """Return what a gallery stores about the model: enough to rebuild it and to notice that it has changed."""
    weights = extractor.weights
    return {"weights": str(weights.absolute()), "sha256": digest_of(weights), "config": extractor.cfg.dump()}


def require_same(gallery: Gallery, model: dict[str, str], folder: Path) -> None:
    """Raise an error unless a model makes the same features as the one that made a gallery.

    Args:
        gallery: the gallery.
        model: the result of `made_by`.
        folder: folder of the gallery, for the message.

    Raises:
        DataError: the weights or the keys that determine features differ.
    """
    if _recorded(gallery, "sha256") != model["sha256"]:
        raise DataError(f"the gallery '{folder}' was made with other weights; choose another folder with --index")
    changed = {
        key: pair for key, pair in changes(_recorded(gallery, "config"), model["config"]).items() if ABSENT not in pair
    }
    if keys := [f"{key}: {changed[key][0]} -> {changed[key][1]}" for key in gallery_keys(changed)]:
        raise DataError(
            f"the gallery '{folder}' was made with other keys, then -> now: {', '.join(keys)}; use its keys, or choose "
            "another folder with --index"
        )


def extractor_of(gallery: Gallery, device: str = "", weights: str = "") -> Extractor:
    """Return the extractor that made the features of a gallery.

    Args:
        gallery: the gallery.
        device: device of the model; by default the one that the gallery was made on, or the CPU where there is none.
        weights: the checkpoint, if it has moved; by default the one that the gallery was made with, also where that has
            moved together with the gallery or lies beside it.

    Raises:
        ConfigError: there is no such device.
        DataError: the weights no longer exist or have changed.
    """
    cfg = stored_config(_recorded(gallery, "config"), "the gallery's configuration")
    if device:
        require_device("--device", device)
    cfg.MODEL.WEIGHTS = str(weights_of(gallery, weights))
    use_device(cfg, device or usable(cfg.MODEL.DEVICE, "the gallery was made"))
    return Extractor(cfg)


def weights_of(gallery: Gallery, given: str = "") -> Path:
    """Return the checkpoint that made a gallery: `given`, or the first of the places where it may be that holds it.

    Raises:
        DataError: it no longer exists or has changed, or `given` is another.
    """
    recorded = Path(_recorded(gallery, "weights"))
    if given:
        if not Path(given).is_file():
            raise DataError(f"--weights: '{given}' does not exist")
        places = [Path(given)]
    else:
        places = [recorded]
        if gallery.folder is not None:
            moved = Moved(gallery.place, gallery.folder)
            beside = [gallery.folder.resolve().parent / recorded.name, gallery.folder / recorded.name]
            places += [Path(moved.file_of(str(recorded))), *beside]
    existing = [file for file in places if file.is_file()]
    for file in existing:
        if digest_of(file) == _recorded(gallery, "sha256"):
            return file
    if given:
        raise DataError(f"--weights: '{given}' are not the weights that the gallery was made with ('{recorded}')")
    if recorded in existing:
        raise DataError(
            f"the weights '{recorded}' have changed since the gallery was made; index the images again, or name the "
            "file with the weights used then: --weights FILE"
        )
    raise DataError(
        f"the gallery was made with the weights '{recorded}', which no longer exist; if they have moved, name their "
        "file: --weights FILE"
    )


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sha256_of(file)
    except OSError as error:
        raise DataError(f"the weights '{file}' cannot be read: {error.strerror}") from None


def _recorded(gallery: Gallery, key: str) -> str:
    value = gallery.made_by.get(key)
    if not isinstance(value, str):
        raise DataError(f"the gallery does not say which model made it: it lacks '{key}'; index the images again")
    return value
