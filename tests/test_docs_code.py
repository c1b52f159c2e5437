"""The Python of README and docs runs as it stands there, each page from top to bottom."""

import re
from pathlib import Path

import pytest
from helpers import ROOT, python

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = {page: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES}
# Needs a checkpoint and images of the reader's: its calls are those of tests/retrieval/test_search.py.
READERS_OWN = {"search.md"}


@pytest.mark.parametrize("page", [page for page, found in BLOCKS.items() if found], ids=lambda page: page.name)
def test_the_code_of_a_page(page: Path, tmp_path: Path) -> None:
    code = "\n".join(BLOCKS[page])
    if page.name in READERS_OWN:
        compile(code, page.name, "exec")
        return
    script = tmp_path / "page.py"
    script.write_text(code)
    ran = python(str(script), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
