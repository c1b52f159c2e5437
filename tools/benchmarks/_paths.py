"""Let the scripts in this folder, and the processes that they spawn, import what the scripts in tools/ share."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tools"))
