"""Command lines that have moved; their old names say where to, for one release."""

import sys
from pathlib import Path
from typing import NoReturn

# By the old name, both below tools/.
NEW_NAMES = {
    "benchmark.py": "benchmarks/speed.py",
    "learning.py": "benchmarks/learning.py",
    "update_tables.py": "benchmarks/tables.py",
}


def moved(script: str) -> NoReturn:
    """Print the new name of a script and exit."""
    name = Path(script).name
    print(f"error: tools/{name} is now tools/{NEW_NAMES[name]}", file=sys.stderr)
    sys.exit(2)
