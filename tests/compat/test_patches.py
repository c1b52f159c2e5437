"""What the package itself needs: the trouble without the patch, its absence with it."""

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from apart import apart
from fastreid.config import get_cfg
from fastreid.engine import defaults
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("unpatched")


@pytest.fixture
def _group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group")
def test_ddp_on_the_host_is_built_without_devices() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="device_ids"):
        defaults.DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    patch(only=["ddp"])
    wrapped = defaults.DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    assert isinstance(wrapped, DistributedDataParallel)
    assert wrapped(torch.ones(1, 2)).shape == (1, 2)


class Images(nn.Module):
    def __init__(self, rank: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.norm.running_mean.fill_(float(rank))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.norm(batch["images"])


class Keeper:
    def reset(self) -> None:
        pass

    def process(self, inputs: object, outputs: torch.Tensor) -> None:
        self.outputs = outputs

    def evaluate(self) -> dict[str, float]:
        return {}


class Loader(list):
    dataset = range(1)


def score(folder: str, rank: int) -> None:
    """Keep what fast-reid's evaluation in this process of two gives without the patch and with it."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = []
    for names in ([], ["buffers"]):
        patch(only=names)
        keeper = Keeper()
        loader = Loader([{"images": torch.ones(1, 2)}])
        defaults.inference_on_dataset(Images(rank).eval(), loader, keeper, flip_test=False)
        found.append(keeper.outputs)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def score_in_two(folder: str) -> None:
    children = [multiprocessing.get_context("fork").Process(target=score, args=(folder, rank)) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]


def test_buffers_of_the_first_process_are_every_process_s(tmp_path: Path) -> None:
    ended = apart(score_in_two, tmp_path)
    assert ended.code == 0, ended.err
    (first, first_patched), (second, second_patched) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first_patched, second_patched)
    assert torch.equal(first_patched, first)


@pytest.mark.parametrize(("builder", "depth"), [("build_regnet_backbone", "800y"), ("build_effnet_backbone", "b0")])
def test_package_files_are_found_from_another_folder(
    builder: str, depth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.DEPTH = depth
    cfg.MODEL.BACKBONE.PRETRAIN = False
    with pytest.raises(FileNotFoundError):
        BACKBONE_REGISTRY.get(builder)(cfg)
    patch(only=["package_files"])
    assert BACKBONE_REGISTRY.get(builder)(cfg)(torch.zeros(2, 3, 64, 32)).shape[1] > 3


@pytest.fixture
def _no_gdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "gdown", raising=False)


@pytest.mark.usefixtures("_no_gdown")
def test_pretrain_without_gdown_fetches_or_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastreid.modeling.backbones import resnet

    cfg = get_cfg()
    cfg.MODEL.BACKBONE.DEPTH = "18x"
    cfg.MODEL.BACKBONE.PRETRAIN = True
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(ModuleNotFoundError, match="gdown"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
    weights = tmp_path / "served.pth"
    torch.save({"conv1.weight": torch.full((64, 3, 7, 7), 0.5)}, weights)
    patch(only=["pretrain"])
    monkeypatch.setitem(resnet.model_urls, "18x", weights.as_uri())
    assert BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg).conv1.weight.unique().tolist() == [0.5]
    monkeypatch.setitem(resnet.model_urls, "18x", (tmp_path / "absent.pth").as_uri())
    with pytest.raises(ConfigError, match=r"cannot download .*absent\.pth.*PRETRAIN_PATH"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
    monkeypatch.setitem(resnet.model_urls, "18x", "https://drive.google.com/uc?id=1")
    with pytest.raises(ConfigError, match="pip install gdown"):
        BACKBONE_REGISTRY.get("build_resnet_backbone")(cfg)
