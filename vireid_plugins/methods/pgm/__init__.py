"""PGM (CVPR 2023). Importing this package registers its association; the rest of it is configuration."""

from vireid_plugins.methods.pgm.association import PGM, matched

__all__ = ["PGM", "matched"]
