"""Synthetic people in the layouts of the real data sets: a stand-in for tests, the demo and regressions.

Never evidence about real data. Identity is body shape, cut and pattern of clothing, hair and bags. Materials have a
visible colour and an infrared reflectance that the colour does not determine, so matching by colour fails; shapes,
patterns and which part of a pattern is the brighter one carry over.
"""

from vireid_plugins.data.synthetic.sysu import SysuSize, write_sysu

__all__ = ["SysuSize", "write_sysu"]
