"""Synthetic people in the layouts of the real data sets: a stand-in for tests, the demo and regressions.

Never evidence about real data. Identity is body shape, cut and pattern of clothing, hair and bags. Materials have a
visible color and an infrared reflectance that the color does not determine, so that matching by color fails. Shapes,
patterns, and which part of a pattern is brighter are the same in both modalities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vireid_plugins.data.datasets import LLCM, SYSUMM01, RegDB
from vireid_plugins.data.synthetic.llcm import write_llcm
from vireid_plugins.data.synthetic.market import write_market
from vireid_plugins.data.synthetic.regdb import write_regdb
from vireid_plugins.data.synthetic.sizes import SIZES, LlcmSize, MarketSize, RegdbSize, SysuSize
from vireid_plugins.data.synthetic.sysu import write_sysu
from vireid_plugins.data.synthetic.tree import read_manifest


@dataclass(frozen=True)
class Layout:
    """How to write a synthetic tree of a data set.

    Attributes:
        folder: the data set's folder below the data root.
        size: dataclass of its size.
        write: function of the folder, a size and a seed.
    """

    folder: str
    size: type[Any]
    write: Callable[..., None]


# By data set class.
LAYOUTS: dict[str, Layout] = {
    "SYSUMM01": Layout(SYSUMM01.dataset_dir, SIZES["SYSUMM01"], write_sysu),
    "RegDB": Layout(RegDB.dataset_dir, SIZES["RegDB"], write_regdb),
    "LLCM": Layout(LLCM.dataset_dir, SIZES["LLCM"], write_llcm),
    "Market1501": Layout("Market-1501-v15.09.15", SIZES["Market1501"], write_market),
}

__all__ = [
    "LAYOUTS",
    "Layout",
    "LlcmSize",
    "MarketSize",
    "RegdbSize",
    "SysuSize",
    "read_manifest",
    "write_llcm",
    "write_market",
    "write_regdb",
    "write_sysu",
]
