"""Draw docs/images/architecture.svg from the imports of the package: python tools/benchmarks/architecture.py."""

import argparse
import ast
import sys
import textwrap
from collections.abc import Mapping
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "vireid_plugins"
FIGURE = ROOT / "docs" / "images" / "architecture.svg"
# Imported by all parts: drawn as the floor, without arrows.
FLOOR = ("config", "compat", "io", "processes", "errors", "escape")
# Not drawn: the root, which imports everything, and files of a few lines.
HIDDEN = ("", "fork_server", "collect_env", "deploy", "__main__")
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 80, 22, 46, 16


def part_of(file: Path) -> str:
    """Return the part of the package that a file belongs to, a folder or a module; the root is empty."""
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(file: Path) -> set[str]:
    """Return the modules of this package that a file imports anywhere, without the prefix of the package's name."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "vireid_plugins":
                names = [f"vireid_plugins.{alias.name}" for alias in node.names]
        modules |= {n.removeprefix("vireid_plugins").lstrip(".") for n in names if n.split(".")[0] == "vireid_plugins"}
    return modules


def arrows() -> dict[str, set[str]]:
    """Return, for every part of the package, the other parts that it imports."""
    imported: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        part = part_of(file)
        imported.setdefault(part, set()).update(name.split(".")[0] for name in imports(file))
    return {part: targets - {part} for part, targets in sorted(imported.items())}


def rows(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the row of each part, 0 at the top: the length of the longest path to it.

    Raises:
        ValueError: the imports have a cycle.
    """

    def row(part: str, below: tuple[str, ...] = ()) -> int:
        if part in below:
            raise ValueError(f"the imports have a cycle: {' <- '.join((*below, part))}")
        importers = [other for other, targets in graph.items() if part in targets]
        return max((1 + row(other, (*below, part)) for other in importers), default=0)

    return {part: row(part) for part in graph}


def direct(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that no longer path implies."""

    def reached(part: str) -> set[str]:
        return graph[part].union(*(reached(target) for target in graph[part]))

    return {part: targets - set().union(*(reached(t) for t in targets)) for part, targets in graph.items()}


def about(part: str) -> str:
    """Return the first sentence of a part's docstring."""
    folder = PACKAGE / part
    text = (folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")).read_text(encoding="utf-8")
    sentence = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ")
    return sentence.split(". ")[0].rstrip(".").replace("`", "")


def figure() -> str:
    """Return the drawing as SVG."""
    graph = {
        part: {target for target in targets if target not in (*FLOOR, *HIDDEN)}
        for part, targets in arrows().items()
        if part not in (*FLOOR, *HIDDEN)
    }
    in_row: dict[int, list[str]] = {}
    for part, row in rows(graph).items():
        in_row.setdefault(row, []).append(part)
    widest, last = max(map(len, in_row.values())), max(in_row)
    total = widest * WIDTH + (widest - 1) * GAP_X
    corner: dict[str, tuple[float, float]] = {}
    for row, parts in in_row.items():
        left = MARGIN + (total - len(parts) * WIDTH - (len(parts) - 1) * GAP_X) / 2
        for column, part in enumerate(parts):
            corner[part] = (left + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    floor = MARGIN + (last + 1) * (HEIGHT + GAP_Y) - GAP_Y / 2
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total + 2 * MARGIN:g} {floor + 34 + MARGIN:g}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8Z" fill="#556"/></marker></defs>',
    ]
    for part, targets in direct(graph).items():
        x, y = corner[part]
        for target in sorted(targets):
            to_x, to_y = corner[target]
            drawn.append(
                f'<path d="M{x + WIDTH / 2:g} {y + HEIGHT:g}L{to_x + WIDTH / 2:g} {to_y - 1:g}" stroke="#556" '
                'fill="none" marker-end="url(#head)"/>'
            )
    for part, (x, y) in corner.items():
        drawn.append(_box(x, y, WIDTH, HEIGHT, "#eef3ff"))
        lines = textwrap.wrap(about(part), 31, max_lines=3, placeholder=" ...")
        drawn.append(_text(x + WIDTH / 2, y + 18, part, 'font-weight="bold" font-size="13"'))
        drawn += [_text(x + WIDTH / 2, y + 36 + 13 * number, line) for number, line in enumerate(lines)]
    drawn.append(_box(MARGIN, floor, total, 34, "#f2f2f2"))
    drawn.append(_text(MARGIN + total / 2, floor + 21, f"everyone imports: {', '.join(FLOOR)}", 'font-size="13"'))
    return "\n".join([*drawn, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="#556"/>'


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" {style}>{escape(words)}</text>'.replace(" >", ">")


def main() -> None:
    """Write the figure, or check that it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the figure is not current")
    args = parser.parse_args()
    if not args.check:
        FIGURE.write_text(figure(), encoding="utf-8")
    elif FIGURE.read_text(encoding="utf-8") != figure():
        sys.exit(f"error: '{FIGURE.relative_to(ROOT)}' is not current; run python tools/benchmarks/architecture.py")


if __name__ == "__main__":
    main()
