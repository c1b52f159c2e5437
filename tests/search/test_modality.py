"""Modalities by names and by colors."""

from pathlib import Path

import numpy as np
import pytest

from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import DataError
from vireid_plugins.search import guess_modality
from vireid_plugins.search.modality import modality_by_folder


def test_guess_modality_is_right_on_every_layout(tree: Path) -> None:
    places = {"SYSU-MM01/cam[1245]/*/*.jpg": 0, "SYSU-MM01/cam[36]/*/*.jpg": 1, "RegDB/Visible/*/*.bmp": 0,
              "RegDB/Thermal/*/*.bmp": 1, "LLCM/vis/*/*.jpg": 0, "LLCM/nir/*/*.jpg": 1}  # fmt: skip
    for pattern, modality in places.items():
        guesses = [guess_modality(read_image(str(file), (64, 32))) for file in sorted(tree.glob(pattern))[:40]]
        assert guesses
        assert np.mean([guess.modality == modality for guess in guesses]) > 0.97
        assert all(0.5 <= guess.probability <= 1 for guess in guesses)
    gray = guess_modality(np.full((4, 4, 3), 90, np.uint8))
    assert gray.modality == 1
    assert gray.probability > 0.99
    unsure = guess_modality(np.full((4, 4, 3), (90, 95, 92), np.uint8))
    assert unsure.probability < 0.6


def test_modality_by_folder_goes_by_a_name_in_the_path_or_is_one_error(tmp_path: Path) -> None:
    assert modality_by_folder(tmp_path / "night_cam" / "a.jpg", tmp_path) == 1
    assert modality_by_folder(tmp_path / "RGB" / "7" / "a.jpg", tmp_path) == 0
    for folder, problem in (("cam", "no folder name of a modality"), ("rgb/ir", "folder names of both modalities")):
        with pytest.raises(DataError, match=f"its path has {problem}; folder names are visible: "):
            modality_by_folder(tmp_path / folder / "a.jpg", tmp_path)
