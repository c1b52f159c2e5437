"""Image and identity counts of the real data sets, from the reference loaders and the official lists.

Keys and fields are those of `CrossModalityDataset.census`; unknown counts are omitted.
"""

from vireid_plugins.data.datasets.base import Counts
from vireid_plugins.data.datasets.regdb import RegDB

_SYSU_CAMERAS = {
    "train": (4721, 5753, 5929, 4821, 4989, 4000),
    "val": (0, 0, 1980, 990, 984, 0),
    "test": (1374, 1565, 1883, 1918, 1918, 1920),
}
_SYSU_LISTS = {"train": (296, 20_284, 9_929), "val": (99, 1_974, 1_980), "test": (96, 6_775, 3_803)}


def _sysu() -> dict[str, Counts]:
    counts = {}
    for name, (identities, visible, infrared) in _SYSU_LISTS.items():
        counts[f"{name} visible"] = {"images": visible, "identities": identities}
        counts[f"{name} infrared"] = {"images": infrared, "identities": identities}
        for camera, images in enumerate(_SYSU_CAMERAS[name], start=1):
            modality = "infrared" if camera in (3, 6) else "visible"
            counts[f"{name} {modality} camera {camera}"] = {"images": images}
    return counts


def _regdb() -> dict[str, Counts]:
    lists = [
        f"{subset} {split} {m}"
        for split in RegDB.splits
        for subset in ("train", "test")
        for m in ("visible", "infrared")
    ]
    return {name: {"images": 2060, "identities": 206} for name in lists}


_LLCM = {
    "train visible": {"images": 16_946, "identities": 713, "cameras": 9, "pairs": 985},
    "train infrared": {"images": 13_975, "identities": 713, "cameras": 8, "pairs": 1260},
    "test visible": {"images": 8_680, "identities": 351, "cameras": 9, "pairs": 484},
    "test infrared": {"images": 7_166, "identities": 351, "cameras": 8, "pairs": 619},
}

# By data set class.
PUBLISHED: dict[str, dict[str, Counts]] = {"SYSUMM01": _sysu(), "RegDB": _regdb(), "LLCM": _LLCM}
