from pathlib import Path

import pytest
import torch
from vireid_plugins.data.synthetic import SysuSize, write_sysu

TREE = SysuSize(train=12, val=2, test=8, images=4, height=72, width=32)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root of a small synthetic SYSU-MM01."""
    root = tmp_path_factory.mktemp("datasets")
    write_sysu(root / "SYSU-MM01", TREE, seed=3, workers=2)
    return root


@pytest.fixture
def data_root(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tree`, and `$FASTREID_DATASETS` pointing at it."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tree))
    return tree


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
