"""What docs and README promise: links that resolve, command lines that build."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, batch, small_cfg

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ABLATIONS = re.findall(r"^\| [^|]+ \| `(MODEL\.[^`]+)` \|$", (ROOT / "docs/methods/wrim.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:configs|tools|docs|vireid_plugins)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / named).exists(), named


def test_the_page_lists_every_part_that_can_be_left_out() -> None:
    assert len(ABLATIONS) == 5


@pytest.mark.parametrize("overrides", ABLATIONS)
def test_every_ablation_is_one_command_line(overrides: str) -> None:
    model = build_model(small_cfg("SYSU/wrim.yml", "MODEL.HEADS.NUM_CLASSES", "6", *shlex.split(overrides))).train()
    losses = model(batch())
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
