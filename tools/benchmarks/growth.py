"""Draw docs/images/growth.svg from docs/benchmarks/scaling-cpu.json: python tools/benchmarks/growth.py."""

import argparse

from _paths import ROOT
from _run import path, run

FIGURE = ROOT / "docs" / "images" / "growth.svg"


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=path, default=FIGURE, help="the figure (default docs/images/growth.svg)")
    args = parser.parse_args()

    from table_parts.growth import read_growth
    from table_parts.growth_figure import draw_growth

    from vireid_plugins.visualize._mpl import require_format, save

    require_format("--output", args.output)
    save(draw_growth(read_growth(ROOT / "docs")), args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    run(main)
