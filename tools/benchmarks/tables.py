"""Write the tables of README.md and the docs from docs/results.yml, the protocols and the benchmarks' files."""

import argparse
import sys

from _paths import ROOT
from _run import run


def main() -> None:
    """Write the tables, or check that they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a table is not current")
    args = parser.parse_args()

    from table_parts.pages import with_tables

    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))):
        text = file.read_text(encoding="utf-8")
        current = with_tables(text, ROOT / "docs")
        if current == text:
            continue
        if args.check:
            sys.exit(f"error: '{file}' has a table that is not current; run python tools/benchmarks/tables.py")
        file.write_text(current, encoding="utf-8")
        print(f"wrote {file}")


if __name__ == "__main__":
    run(main)
