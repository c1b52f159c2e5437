"""Run a script with numbers of double precision where it asks for none: python in_float64.py SCRIPT ARGUMENTS...

Two right implementations of a training run part in single precision, since Adam divides by the size of gradients that
are nothing but rounding. In double precision they agree to many digits.
"""

import runpy
import sys
from pathlib import Path

import torch

if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
