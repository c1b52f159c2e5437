"""What docs and README promise: links that resolve, command lines that build."""

import inspect
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
from fastreid.engine import default_argument_parser
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, batch, python, small_cfg, views_of

from vireid_plugins.config import get_cfg
from vireid_plugins.config.paths import resolve_config

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
# Of every method's page: the config of its ablations, and their overrides.
ABLATIONS = [
    (
        re.search(r"overrides after\s+`vireid train --config-file ([^`]+)`", page.read_text())[1],
        row,
    )
    for page in sorted((ROOT / "docs/methods").glob("*.md"))
    for row in re.findall(r"^\| [^|]+ \| `((?:MODEL|INPUT)\.[^`]+)` \|$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_has_links_and_named_files_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:configs|tools|docs|examples|tests|vireid_plugins)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / named).exists() or (page.parent / named).exists(), named


EXPECTED = {"wrim": 5, "agw": 5, "deen": 3, "icre": 3, "idkl": 6, "mpanet": 4, "mscm": 7, "pmt": 5, "rle": 7, "saai": 5}


def test_ablations_are_listed_on_every_page() -> None:
    assert Counter(config for config, _ in ABLATIONS) == {f"SYSU/{name}.yml": n for name, n in EXPECTED.items()}


@pytest.mark.parametrize(("config", "overrides"), ABLATIONS)
def test_ablations_each_train_with_one_command_line(config: str, overrides: str) -> None:
    cfg = small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "6", *shlex.split(overrides))
    model = build_model(cfg).train()
    losses = model(batch(views=views_of(cfg)))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


def commands(page: Path) -> list[str]:
    """The command lines of a page that call `vireid` or a script of this repository, lines joined, without comments."""
    text = re.sub(r"\s*\\\n\s*", " ", page.read_text())
    lines = re.findall(r"^ {4}((?:[A-Z_]+=\S+ )*(?:vireid|torchrun|(?:\.venv/bin/)?python) .*)$", text, re.MULTILINE)
    return [re.sub(r"\s+#.*$", "", line) for line in lines if re.search(r"(tools|examples)/[\w/]+\.py|^vireid ", line)]


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]


def test_commands_are_found_on_the_pages() -> None:
    assert len(COMMANDS) > 50


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: getattr(value, "name", None))
def test_commands_name_what_exists(page: Path, command: str) -> None:
    """Scripts, their flags, configurations, keys and the types of their values."""
    words = shlex.split(command.replace("$", ""))
    script = next(word for word in words if word.endswith(".py") or word == "vireid")
    sources = [file.read_text() for file in (ROOT / "vireid_plugins" / "cli").glob("*.py")]
    source = "".join(sources) if script == "vireid" else (ROOT / script).read_text() + "".join(sources)
    known = source + inspect.getsource(default_argument_parser)
    rest = words[words.index(script) + 1 :]
    for flag in [word.split("=")[0] for word in rest if word.startswith("--")]:
        # Figures build some of their flags, and layouts take theirs from the fields of a size.
        built = flag.removeprefix("--") in known
        assert f'"{flag}"' in known or built or {"tools/make_synthetic.py", "synthesize"} & set(words), flag
    if "--config-file" not in rest or "TASK" in command:
        return
    config = rest[rest.index("--config-file") + 1]
    if not config.endswith(".yml") or any(name in config for name in ("plugin_package", "market1501", "my_method")):
        return
    cfg = get_cfg()
    cfg.merge_from_file(resolve_config(config))
    keys = [n for n, word in enumerate(rest) if re.fullmatch(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*", word)]
    cfg.merge_from_list([word for n in keys if n + 1 < len(rest) for word in (rest[n], rest[n + 1])])


def test_pages_have_other_names_than_sphinxs_own() -> None:
    """Sphinx writes those over them without a warning; `make docs` builds the site, with warnings as errors."""
    assert not {"search", "genindex", "modindex", "py-modindex"} & {page.stem for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.slow
def test_site_has_every_page_as_itself(tmp_path: Path) -> None:
    """Sphinx writes pages of its own, `search.html` among them, over a page of that name without a warning."""
    ran = python("-m", "sphinx", "-q", "-W", "docs", str(tmp_path))
    assert ran.returncode == 0, ran.stderr[-2000:]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        source = ROOT / "CONTRIBUTING.md" if page.stem == "contributing" else page
        heading = re.search(r"^# (.+)$", source.read_text(), re.MULTILINE)[1]
        html = (tmp_path / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text()
        (shown,) = re.findall(r"<h1>(.*?)<a ", html)
        assert re.sub(r"<.*?>", "", shown).replace("\u2019", "'") == heading, page
