"""Run a script with torch's deterministic kernels: python deterministic.py SCRIPT ARGUMENTS..."""

import os
import runpy
import sys
from pathlib import Path

# cuBLAS reads this variable on first use.
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
import torch

# Of some operations torch only knows kernels that might not be; whether they were is what the test finds out.
torch.use_deterministic_algorithms(True, warn_only=True)
sys.argv.pop(0)
sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
runpy.run_path(sys.argv[0], run_name="__main__")
