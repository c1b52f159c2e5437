"""Sphinx configuration; build with `make docs`."""

project = "vireid_plugins"
author = "the vireid_plugins developers"
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
