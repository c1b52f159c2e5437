"""The API reference holds every public name, and every public name says what it is, takes, returns and comes from."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest
import torch
from helpers import ROOT

import vireid_plugins
from vireid_plugins import methods

REFERENCE = (ROOT / "docs" / "api.md").read_text()
PACKAGES = sorted(
    module.name
    for module in pkgutil.walk_packages(vireid_plugins.__path__, "vireid_plugins.")
    if module.ispkg and hasattr(importlib.import_module(module.name), "__all__")
)
# Nothing of it is for users' code.
INTERNAL = (
    "vireid_plugins.data", "vireid_plugins.data.synthetic", "vireid_plugins.data.verify", "vireid_plugins.methods",
    "vireid_plugins.modeling",
)  # fmt: skip
PUBLIC: list[tuple[str, Any]] = [
    (f"{package}.{name}", getattr(importlib.import_module(package), name))
    for package in PACKAGES
    for name in importlib.import_module(package).__all__
]
FUNCTIONS = [(name, thing) for name, thing in PUBLIC if inspect.isfunction(thing)]
# Things that come from a paper say which; what has none says that it is ours.
SOURCE = re.compile(r"(19|20)\d\d|arXiv|AGW|CAJ|DEEN|MSCMNet|IDKL|WRIM|ICRE|fast-reid|ours?\b|torch", re.IGNORECASE)


def test_reference_lists_every_package() -> None:
    assert len(PACKAGES) > 12
    # The packages of methods are put in by docs/conf.py.
    listed = [*INTERNAL, *(name for name in PACKAGES if name.startswith("vireid_plugins.methods."))]
    missing = [name for name in PACKAGES if f"automodule:: {name}\n" not in REFERENCE and name not in listed]
    assert not missing


@pytest.mark.parametrize(("name", "thing"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_public_names_are_all_described(name: str, thing: Any) -> None:
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__doc__, name
        assert len(inspect.getdoc(thing) or "") > 20


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_public_functions_describe_their_arguments_and_the_shapes_of_arrays(name: str, function: Any) -> None:
    doc = inspect.getdoc(function) or ""
    taken = [p for p in inspect.signature(function).parameters.values() if p.annotation is not inspect.Parameter.empty]
    assert len(taken) == len(inspect.signature(function).parameters), "types"
    if any(p.annotation is torch.Tensor for p in taken):
        assert re.search(r"\([A-Zn0-9][\w ,.*+/-]*,?[^)]*\)", doc), f"{name} gives no shape"
    if len(taken) > 2:
        described = [p.name for p in taken if p.name in doc or p.name.strip("_") in doc]
        assert len(described) >= len(taken) - 1, f"{name} leaves arguments out"


METHODS = [f"methods.{module.name}" for module in pkgutil.iter_modules(methods.__path__)]


@pytest.mark.parametrize("part", ["modeling.losses", "modeling.attention", *METHODS])
def test_modeling_parts_say_where_they_are_from(part: str) -> None:
    package = importlib.import_module(f"vireid_plugins.{part}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in ("base", "build", "on_embeddings"):
            continue
        doc = importlib.import_module(f"{package.__name__}.{module.name}").__doc__ or ""
        assert SOURCE.search(doc), module.name
