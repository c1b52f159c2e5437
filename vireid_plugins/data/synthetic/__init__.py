"""Synthetic people in the layouts of the real data sets: a stand-in for tests, the demo and regressions.

Never evidence about real data. Identity is body shape, cut and pattern of clothing, hair and bags. Materials have a
visible colour and an infrared reflectance that the colour does not determine, so matching by colour fails; shapes,
patterns and which part of a pattern is the brighter one carry over.
"""

from collections.abc import Callable
from typing import Any

from vireid_plugins.data.synthetic.llcm import LlcmSize, write_llcm
from vireid_plugins.data.synthetic.regdb import RegdbSize, write_regdb
from vireid_plugins.data.synthetic.sysu import SysuSize, write_sysu
from vireid_plugins.data.synthetic.tree import read_manifest

# By the name of the data set class: its size and its writer.
LAYOUTS: dict[str, tuple[type[Any], Callable[..., None]]] = {
    "SYSUMM01": (SysuSize, write_sysu),
    "RegDB": (RegdbSize, write_regdb),
    "LLCM": (LlcmSize, write_llcm),
}

__all__ = [
    "LAYOUTS",
    "LlcmSize",
    "RegdbSize",
    "SysuSize",
    "read_manifest",
    "write_llcm",
    "write_regdb",
    "write_sysu",
]
