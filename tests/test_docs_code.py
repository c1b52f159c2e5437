"""The Python of README and docs runs as it stands there, each page from top to bottom."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers import ROOT, python
from narrow import wide

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = {page: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES}
# Need data and images of the reader: run by test_docs_shell.py, which has them.
READERS_OWN = {"README.md", "image_search.md"}
# What a page takes for granted, by name.
BEFORE = {
    "scoring.md": """
import numpy as np
import torch
from vireid_plugins.data.datasets import RegDB
from vireid_plugins.data.synthetic import RegdbSize, write_regdb
from pathlib import Path

data_root = Path("data")
write_regdb(data_root / "RegDB", RegdbSize(identities=12, images=2, height=32, width=16), workers=1)
dataset = RegDB(root=str(data_root), split=3)
paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
features = torch.randn(len(paths), 8)
distance = np.random.default_rng(0).random((4, 6))
query_ids, gallery_ids = np.arange(4), np.arange(6) % 4
query_cams, gallery_cams = np.full(4, 3), np.ones(6)
""",
    "experiments.md": """
import numpy as np
from pathlib import Path
from vireid_plugins.evaluation.query_scores import QueryScores, write_query_scores

scores = QueryScores(np.array(["a", "b"]), np.arange(2), np.full((1, 2), 0.5, np.float32))
write_query_scores(Path("logs/agw_seed-0/evaluation_queries.npz"), {"sysu/official/all/1shot": scores})
""",
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.stem == "tutorials" else [])
        for page, found in BLOCKS.items()
        if found and page.name not in READERS_OWN
    ],
)
def test_page_runs_its_code(page: Path, tmp_path: Path) -> None:
    code = "\n".join([BEFORE.get(page.name, ""), *BLOCKS[page]])
    script = tmp_path / "page.py"
    script.write_text(code)
    # A page that speaks of widths speaks of the real ones.
    with wide() if page.name == "extending.md" else nullcontext():
        ran = python(str(script), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
