"""Sphinx configuration; build with `make docs`."""

project = "vireid_plugins"
author = "the vireid_plugins developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
