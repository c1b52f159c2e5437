"""How PGM's public code (CVPR 2023, repository zesenwu23/USL-VI-ReID) names its parameters: as AGW."""

from vireid_plugins.io.checkpoint_layout import DUAL_STREAM, NON_LOCAL, Layout

# The classifier is one that the code has and never trains.
LAYOUTS = {"pgm": Layout("SYSU/pgm.yml", ((r"classifier\.weight", None), *DUAL_STREAM, *NON_LOCAL))}
