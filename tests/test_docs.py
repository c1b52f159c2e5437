"""What docs and README promise: links that resolve, command lines that build."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, batch, small_cfg, views_of

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
# Of every method's page: the config of its ablations, and their overrides.
ABLATIONS = [
    (
        re.search(r"overrides after\s+`python tools/train_net.py --config-file configs/([^`]+)`", page.read_text())[1],
        row,
    )
    for page in sorted((ROOT / "docs/methods").glob("*.md"))
    for row in re.findall(r"^\| [^|]+ \| `(MODEL\.[^`]+)` \|$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:configs|tools|docs|examples|tests|vireid_plugins)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / named).exists() or (page.parent / named).exists(), named


EXPECTED = {"wrim": 5, "agw": 5, "deen": 3, "icre": 3, "idkl": 6, "mscm": 7}


def test_every_page_lists_parts_that_can_be_left_out() -> None:
    assert Counter(config for config, _ in ABLATIONS) == {f"SYSU/{name}.yml": n for name, n in EXPECTED.items()}


@pytest.mark.parametrize(("config", "overrides"), ABLATIONS)
def test_every_ablation_is_one_command_line(config: str, overrides: str) -> None:
    cfg = small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "6", *shlex.split(overrides))
    model = build_model(cfg).train()
    losses = model(batch(views=views_of(cfg)))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
