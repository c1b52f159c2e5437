"""Search for people with an exported model, without torch: onnx_search.py MODEL_FOLDER GALLERY_FOLDER QUERY_IMAGE.

It needs only numpy, Pillow and onnxruntime; `vireid export` writes the model's folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


class Model:
    """An exported model, which maps images of one modality to features.

    Args:
        folder: output of `vireid export`.
    """

    def __init__(self, folder: Path) -> None:
        self.note = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        files = {name: str(folder / f"{name}.onnx") for name in ("visible", "infrared")}
        self.sessions = {name: onnxruntime.InferenceSession(file) for name, file in files.items()}

    def __call__(self, files: list[Path], modality: str) -> Any:
        """Return features (n, D), L2-normalized."""
        size = (self.note["width"], self.note["height"])
        resampling = Image.Resampling(FILTERS[self.note["interpolation"]])
        images = [np.asarray(Image.open(file).convert("RGB").resize(size, resampling)) for file in files]
        batch = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
        return self.sessions[modality].run(None, {"images": batch})[0]


def main(model_folder: str, gallery_folder: str, query: str) -> None:
    """Print the ten visible gallery images nearest to an infrared query."""
    model = Model(Path(model_folder))
    files = sorted(file for file in Path(gallery_folder).rglob("*") if file.suffix.lower() in (".jpg", ".png", ".bmp"))
    batches = [files[n : n + 32] for n in range(0, len(files), 32)]
    gallery = np.concatenate([model(batch, "visible") for batch in batches])
    similarity = gallery @ model([Path(query)], "infrared")[0]
    for rank, row in enumerate(np.argsort(-similarity)[:10], start=1):
        print(f"{rank:2d}  {similarity[row]:.3f}  {files[row]}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
