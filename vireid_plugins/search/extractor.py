"""Features of images that belong to no data set."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from PIL import Image
from torch import Tensor

from vireid_plugins.config import load_config
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.decode import SEARCH_FORMATS, interpolation_of_tests, read_image, resized
from vireid_plugins.data.modality_guess import Guess, guess_modality
from vireid_plugins.data.thermal import reporting, stretch_of
from vireid_plugins.engine.train import checkpoint_of, load_model
from vireid_plugins.errors import ConfigError, DataError, FeatureError, require_name
from vireid_plugins.extraction import network_for

Picture = str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor
NAMES = {"visible": VISIBLE, "infrared": INFRARED}


class Extractor:
    """A trained method as a function from images to L2-normalized features.

        model = vireid_plugins.load("logs/SYSU/wrim")
        features = model.embed(["night/01.png", "night/02.png"], modality="infrared")        # (2, D) float32
        similarity = features @ model.embed("day/01.jpg", modality="visible").T

    Args:
        cfg: the configuration the model was trained with; `MODEL.WEIGHTS` names the checkpoint.
        batch: images per forward pass.

    Attributes:
        weights: the checkpoint.
        stretch: how images of more than 8 bits are read (`INPUT.THERMAL`).

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint cannot be read.
    """

    def __init__(self, cfg: CfgNode, batch: int = 32) -> None:
        if isinstance(cfg, str | Path):
            raise ConfigError(
                f"Extractor takes a configuration, not '{cfg}'; use Extractor.from_files(config_file, weights), and "
                "call the extractor with the images"
            )
        self.cfg, self.batch = cfg.clone(), batch
        self.stretch = stretch_of(cfg)
        self.weights = checkpoint_of(cfg)
        self.model: Any = network_for(cfg, load_model(cfg)).eval()

    @classmethod
    def from_files(
        cls, config_file: str, weights: str = "", overrides: Sequence[str] = (), batch: int = 32
    ) -> "Extractor":
        """Build an extractor from a configuration file and a checkpoint, by default the last of the output folder.

        Raises:
            ConfigError: the file or a key is wrong, or there is no checkpoint.
            DataError: the checkpoint cannot be read.
        """
        checkpoint = ["MODEL.WEIGHTS", weights] if weights else []
        return cls(load_config(config_file, [*checkpoint, *overrides]), batch)

    @reporting()
    def embed(
        self, pictures: Picture | Iterable[Picture], modality: str | int | Sequence[str | int]
    ) -> npt.NDArray[np.float32]:
        """Return features (n, D).

        Args:
            pictures: files, Pillow images, uint8 arrays (H, W, 3) in RGB order (OpenCV reads BGR: reverse the last
                axis) or tensors (3, H, W), uint8 or from 0 to 1 as torchvision makes them; or a single one of them, or
                an array or tensor of several. The EXIF orientation of files and Pillow images is applied.
            modality: `visible` or `infrared` (0 or 1) for all, or one of them per picture.

        Raises:
            ConfigError: a modality is invalid, or the number of modalities is not the number of pictures.
            DataError: an image cannot be read, or is no picture.
            FeatureError: the network's output is not finite or zero.
        """
        pictures = _pictures(pictures)
        modalities = _modalities(modality, len(pictures))
        batches = zip(_chunks(pictures, self.batch), _chunks(modalities, self.batch), strict=True)
        parts = [self.features([self.pixels(p) for p in batch], numbers) for batch, numbers in batches]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    __call__ = embed

    def pixels(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """Return an image (H, W, 3) in RGB order, resized to the network's input size.

        Raises:
            DataError: the image cannot be read, or is an array of the wrong shape or type.
        """
        size, interpolation = self.cfg.INPUT.SIZE_TEST, interpolation_of_tests(self.cfg)
        if isinstance(picture, str | Path):
            return read_image(str(picture), size, interpolation, self.stretch, SEARCH_FORMATS)
        if isinstance(picture, Tensor):
            picture = _array(picture)
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(_checked(picture))
        if not isinstance(picture, Image.Image):
            raise DataError(
                "a picture must be a file, a Pillow image, a uint8 array (H, W, 3) or a tensor (3, H, W); got "
                f"{type(picture).__name__}"
            )
        try:
            return resized(picture, size, interpolation, self.stretch)
        except Exception as error:
            # It may be a file that Pillow has opened and not decoded yet; see `read_image`.
            raise DataError(f"an image cannot be read: {str(error) or type(error).__name__}") from None

    def guess(self, picture: Picture) -> Guess:
        """Guess the modality of an image; see `guess_modality`."""
        return guess_modality(self.pixels(picture))

    def features(self, images: Sequence[npt.NDArray[np.uint8]], modalities: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the features (n, D) of one batch of images from `pixels`, given their modalities.

        Raises:
            FeatureError: the network's output is not finite or zero.
        """
        batch = {
            "images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            "modalities": torch.tensor(modalities),
        }
        with torch.inference_mode():
            features = self.model(batch)
            if self.cfg.TEST.FLIP.ENABLED:
                features = features + self.model({**batch, "images": batch["images"].flip(3)})
            features = features.float()
            lengths = features.norm(dim=1)
            if not bool(((lengths > 0) & lengths.isfinite()).all()):
                raise FeatureError(
                    f"the weights '{self.weights}' make features that are zero or not finite; check the checkpoint"
                )
            normalized: npt.NDArray[np.float32] = F.normalize(features).cpu().numpy()
        return normalized


def _pictures(pictures: Picture | Iterable[Picture]) -> list[Picture]:
    """Return the pictures as a list; a single one is a list of one."""
    one_array = isinstance(pictures, np.ndarray | Tensor) and pictures.ndim < 4
    if one_array or isinstance(pictures, str | Path | Image.Image):
        return [pictures]  # type: ignore[list-item]
    if isinstance(pictures, bytes) or not isinstance(pictures, Iterable):
        raise DataError(
            "pictures must be files, Pillow images, uint8 arrays (H, W, 3) or tensors (3, H, W), in a list; got "
            f"{type(pictures).__name__}"
        )
    return list(pictures)


def _array(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """Return a tensor (3, H, W) as an array (H, W, 3) uint8.

    Raises:
        DataError: its shape, type or range is wrong.
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise DataError(f"a tensor must be (3, H, W), or (B, 3, H, W) for several; got {tuple(tensor.shape)}")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise DataError(
                f"a tensor of {tensor.dtype} must have values from 0 to 1, got {tensor.min():g} to {tensor.max():g}; "
                "do not normalize it, and convert one from 0 to 255 to uint8"
            )
        tensor = (tensor * 255).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        raise DataError(f"a tensor must be uint8, or floating-point from 0 to 1; got {tensor.dtype}")
    array: npt.NDArray[np.uint8] = tensor.permute(1, 2, 0).contiguous().numpy()
    return array


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the array if it is a picture.

    Raises:
        DataError: its shape or type is wrong.
    """
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size:
        return array
    hint = "" if array.size else "; it is empty"
    if array.dtype.kind == "f":
        hint = "; convert numbers from 0 to 1 with (255 * array).round().astype(np.uint8)"
    elif array.ndim == 3 and array.shape[0] == 3:
        hint = "; the channels come last"
    elif array.ndim == 2:
        hint = "; repeat a single channel three times"
    raise DataError(f"an array must be (H, W, 3) uint8; got {array.shape} {array.dtype}{hint}")


def _modalities(modality: str | int | Sequence[str | int], count: int) -> list[int]:
    """Return one number per picture.

    Raises:
        ConfigError: a modality is invalid, or their number is wrong.
    """
    each = [modality] * count if isinstance(modality, str | int) else list(modality)
    for name in [modality] if isinstance(modality, str) else each:
        if isinstance(name, str):
            require_name("modality", name, NAMES)
    numbers = [NAMES[one] if isinstance(one, str) else one for one in each]
    if len(numbers) != count or any(number not in NAMES.values() for number in numbers):
        raise ConfigError(f"modality: {count} images need one number each, 0 visible or 1 infrared; got {modality}")
    return [int(number) for number in numbers]


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
