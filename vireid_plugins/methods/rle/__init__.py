"""RLE (NeurIPS 2024), the part network without MRLE and RRLE. Importing this package registers its parts."""

from vireid_plugins.methods.rle.model import RLE

__all__ = ["RLE"]
