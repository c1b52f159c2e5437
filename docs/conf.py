"""Sphinx configuration; build with `make docs`."""

from pathlib import Path

from sphinx.application import Sphinx

METHODS = Path(__file__).parent.parent / "vireid_plugins" / "methods"
METHODS_HERE = "<!-- a block for every folder of vireid_plugins/methods, see conf.py -->"

project = "vireid_plugins"
author = "the vireid_plugins developers"
# Links to sections of other pages.
myst_heading_anchors = 2
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def list_methods(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the reference of every method into the API page."""
    if page == "api":
        blocks = [
            f"```{{eval-rst}}\n.. automodule:: vireid_plugins.methods.{init.parent.name}\n   :members:\n"
            "   :show-inheritance:\n```\n"
            for init in sorted(METHODS.glob("*/__init__.py"))
        ]
        source[0] = source[0].replace(METHODS_HERE, "\n".join(blocks))


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", list_methods)
