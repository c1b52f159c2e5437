"""Scripts that have moved: for one release, the old ones print the new name."""

import sys
from pathlib import Path
from typing import NoReturn

# New names by old names, both below tools/.
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
