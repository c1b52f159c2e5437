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

from vireid_plugins.config import load_config
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.decode import SEARCH_FORMATS, read_image, resized
from vireid_plugins.data.modality_guess import Guess, guess_modality
from vireid_plugins.data.thermal import reporting, stretch_of
from vireid_plugins.engine.train import checkpoint_of, load_model
from vireid_plugins.errors import ConfigError, DataError, require_name

Picture = str | Path | Image.Image | npt.NDArray[np.uint8]
NAMES = {"visible": VISIBLE, "infrared": INFRARED}


class Extractor:
    """A trained method as a function from images to L2-normalized features.

        extractor = Extractor.from_files("configs/SYSU/wrim.yml", "logs/SYSU/wrim/model_final.pth")
        features = extractor(["night/01.png", "night/02.png"], "infrared")        # (2, D) float32
        similarity = features @ extractor(["day/01.jpg"], "visible").T

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
        self.cfg, self.batch = cfg.clone(), batch
        self.stretch = stretch_of(cfg)
        self.weights = checkpoint_of(cfg)
        self.model: Any = load_model(cfg).eval()

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
        return cls(load_config(config_file, [*overrides, *checkpoint]), batch)

    @reporting()
    def __call__(self, pictures: Iterable[Picture], modality: str | int | Sequence[int]) -> npt.NDArray[np.float32]:
        """Return features (n, D).

        Args:
            pictures: files, Pillow images or uint8 arrays (H, W, 3).
            modality: `visible` or `infrared` (0 or 1) for all, or one number per picture.

        Raises:
            ConfigError: a modality is invalid, or the number of modalities is not the number of pictures.
            DataError: an image cannot be read.
        """
        pictures = list(pictures)
        modalities = _modalities(modality, len(pictures))
        batches = zip(_chunks(pictures, self.batch), _chunks(modalities, self.batch), strict=True)
        parts = [self._features([self.pixels(p) for p in batch], numbers) for batch, numbers in batches]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def pixels(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """Return an image (H, W, 3), resized to the network's input size.

        Raises:
            DataError: the image cannot be read, or is an array of the wrong shape or type.
        """
        size, interpolation = self.cfg.INPUT.SIZE_TEST, self.cfg.INPUT.INTERPOLATION
        if isinstance(picture, str | Path):
            return read_image(str(picture), size, interpolation, self.stretch, SEARCH_FORMATS)
        if isinstance(picture, np.ndarray):
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise DataError(f"an array must be (H, W, 3) uint8; got {picture.shape} {picture.dtype}")
            picture = Image.fromarray(picture)
        try:
            return resized(picture, size, interpolation, self.stretch)
        except Exception as error:
            # It may be a file that Pillow has opened and not decoded yet; see `read_image`.
            raise DataError(f"an image cannot be read: {str(error) or type(error).__name__}") from None

    def guess(self, picture: Picture) -> Guess:
        """Guess the modality of an image; see `guess_modality`."""
        return guess_modality(self.pixels(picture))

    def _features(self, images: Sequence[npt.NDArray[np.uint8]], modalities: Sequence[int]) -> npt.NDArray[np.float32]:
        batch = {
            "images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            "modalities": torch.tensor(modalities),
        }
        with torch.inference_mode():
            features = self.model(batch)
            if self.cfg.TEST.FLIP.ENABLED:
                features = features + self.model({**batch, "images": batch["images"].flip(3)})
            normalized: npt.NDArray[np.float32] = F.normalize(features.float()).cpu().numpy()
        return normalized


def _modalities(modality: str | int | Sequence[int], count: int) -> list[int]:
    if isinstance(modality, str):
        require_name("modality", modality, NAMES)
        modality = NAMES[modality]
    numbers = [modality] * count if isinstance(modality, int) else [int(number) for number in modality]
    if len(numbers) != count or not set(numbers) <= set(NAMES.values()):
        raise ConfigError(f"modality: {count} images need one number each, 0 visible or 1 infrared; got {modality}")
    return numbers


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
