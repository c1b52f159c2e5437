import inspect
import sys
import types
from collections.abc import Iterator

import faiss
import fastreid.data.transforms.build
import fastreid.evaluation.reid_evaluation
import fastreid.solver.optim.lamb
import fastreid.utils.collect_env
import fastreid.utils.compute_dist
import fastreid.utils.faiss_utils
import pytest
import sklearn.metrics
import torchvision.transforms
from helpers import python
from torch.utils.tensorboard import SummaryWriter

from vireid_plugins.compat.deferred_import import StandIn, StandInName, deferred

# What only some commands use, and what it costs to import them: a second or two for torch's compiler and scikit-learn.
SLOW = (
    "torchvision", "sklearn", "scipy", "numba", "torch._dynamo", "matplotlib", "onnx", "onnxruntime", "pandas", "faiss",
    "tensorboard",
)  # fmt: skip


def test_deferred_import_of_the_engine_loads_nothing_slow() -> None:
    ran = python("-c", "import sys, vireid_plugins.engine\nprint(*sys.modules)")
    loaded = set(ran.stdout.split())
    assert "fastreid.engine" in loaded, ran.stderr
    assert not loaded & set(SLOW)


@pytest.mark.slow
def test_deferred_import_of_the_engine_leaves_no_stand_in_for_others() -> None:
    script = "import sys, vireid_plugins.engine, torchvision, sklearn.metrics\nprint(torchvision.__file__, "
    ran = python("-c", script + "sklearn.metrics.__file__, sys.modules['torchvision'] is torchvision)")
    assert ran.stdout.split()[0].endswith("__init__.py"), ran.stderr
    assert ran.stdout.split()[2] == "True"


@pytest.mark.parametrize(
    ("holder", "name", "module"),
    [
        (fastreid.data.transforms.build, "T", torchvision.transforms),
        (fastreid.evaluation.reid_evaluation, "metrics", sklearn.metrics),
        (fastreid.utils.collect_env, "torchvision", torchvision),
        (fastreid.utils.compute_dist, "faiss", faiss),
        (fastreid.solver.optim.lamb, "SummaryWriter", SummaryWriter),
    ],
)
def test_deferred_names_of_fastreid_resolve_to_the_modules(
    holder: types.ModuleType, name: str, module: types.ModuleType
) -> None:
    assert getattr(holder, name) is module


@pytest.fixture
def package() -> Iterator[types.ModuleType]:
    """A package `asking`, with nothing in it yet."""
    module = types.ModuleType("asking")
    yield module
    for name in ("asking", "asking.uses", "colorsys"):
        sys.modules.pop(name, None)


def ask(package: types.ModuleType, source: str, known: dict[str, dict[str, object]] | None = None) -> types.ModuleType:
    """Import a module `asking.uses` of this source, with `colorsys` put off."""
    sys.modules.pop("colorsys", None)
    module = types.ModuleType("asking.uses")
    with deferred(["colorsys"], "asking", known):
        sys.modules["asking"], sys.modules["asking.uses"] = package, module
        exec(source, vars(module))
    return module


def test_stand_in_is_replaced_when_a_function_uses_it(package: types.ModuleType) -> None:
    module = ask(package, "import colorsys\ndef use():\n    return colorsys.rgb_to_hsv(0.0, 0.0, 0.5)")
    assert "colorsys" not in sys.modules
    assert isinstance(vars(module)["colorsys"], StandIn)
    assert module.use() == (2 / 3, 1.0, 0.5)
    assert vars(module)["colorsys"] is sys.modules["colorsys"]


def test_stand_in_is_never_seen_from_outside(package: types.ModuleType) -> None:
    module = ask(package, "import colorsys as hue")
    assert module.hue is __import__("colorsys")


def test_stand_in_that_was_replaced_by_others_stays_replaced(package: types.ModuleType) -> None:
    module = ask(package, "import colorsys\nkept = colorsys")
    vars(module)["colorsys"] = "mine"
    assert module.kept is sys.modules["colorsys"]
    assert module.colorsys == "mine"


def test_deferred_default_argument_is_that_of_the_module() -> None:
    metric = inspect.signature(fastreid.utils.faiss_utils.search_raw_array_pytorch).parameters["metric"]
    assert metric.default == faiss.METRIC_L2


def test_stand_in_of_known_attributes_and_names_imports_nothing_for_them(package: types.ModuleType) -> None:
    source = "import colorsys\nfrom colorsys import hls_to_rgb\ndef use(third=colorsys.ONE_THIRD):\n    return third"
    known = {"colorsys": {"ONE_THIRD": 1 / 3, "hls_to_rgb": StandInName("colorsys", "hls_to_rgb")}}
    module = ask(package, source, known)
    assert module.use() == 1 / 3
    assert "colorsys" not in sys.modules
    assert module.hls_to_rgb is __import__("colorsys").hls_to_rgb
    assert vars(module)["hls_to_rgb"] is module.hls_to_rgb


def test_deferred_leaves_a_module_that_is_loaded_alone() -> None:
    before = sys.modules["json"] = __import__("json")
    with deferred(["json"], "asking"):
        assert sys.modules["json"] is before


def test_deferred_leaves_a_module_that_is_not_installed_alone() -> None:
    with deferred(["no_such_module"], "asking"), pytest.raises(ModuleNotFoundError):
        __import__("no_such_module")


def test_deferred_after_a_failed_import_leaves_no_stand_in() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(ZeroDivisionError), deferred(["colorsys"], "asking"):
        raise ZeroDivisionError
    assert "colorsys" not in sys.modules
