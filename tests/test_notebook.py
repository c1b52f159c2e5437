"""The notebook of the first hour runs from top to bottom."""

from typing import Any

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_hour.ipynb"


def test_the_first_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_HOUR_EPOCHS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    said = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    shown = [output for outputs in said.values() for output in outputs]
    pictures = [o for o in shown if "image/png" in o.get("data", {})]
    assert len(pictures) >= 3
    text = "".join(output.get("text", "") for output in shown)
    assert "| sysu/agw/all/1shot" in text
    assert "queries have a wrong first answer" in text
    assert "SYSU-MM01/cam1/" in text
