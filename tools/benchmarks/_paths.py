"""Lets the scripts of this folder import what the command lines in tools/ share, also in processes that they spawn."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tools"))
