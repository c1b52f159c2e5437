"""Run public training code on noise, step by step: its own script, network, losses, optimizer and schedule.

The script runs as a user would start it, with the stand-ins of `stand_ins.py`. Its data loader waits until a step is
requested, so a step is what the script does between two batches.
"""

import contextlib
import functools
import importlib
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from parity_parts import stand_ins
from parity_parts.exchange import Desk, Job, Step, cpu_seconds, finish
from parity_parts.formula import fill_all, image
from parity_parts.repositories import REPOSITORIES, spread
from parity_parts.stand_ins import Loader, Supplied, replace


def take_steps(desk: Desk, job: Job, folder: str) -> None:
    """Run the public code of a job in this process; see `exchange.Side`."""
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    Watch(desk, job, Path(folder)).run()


class Watch:
    """Fills the network, feeds the loader and records what a step does.

    Args:
        desk: requests steps.
        job: the job.
        folder: folder of the public code.
    """

    def __init__(self, desk: Desk, job: Job, folder: Path) -> None:
        self.desk, self.job, self.folder = desk, job, folder
        self.supplied = Supplied()
        self.network: nn.Module
        self.optimizer: torch.optim.Optimizer | None = None
        self.start: dict[str, torch.Tensor] = {}
        self.feature: torch.Tensor | None = None
        self.step = Step()
        self.epoch_steps = 0

    def run(self) -> None:
        """Run the script until no more steps are requested."""
        stand_ins.on_a_cpu(self.supplied)
        if self.job.double:
            stand_ins.float64_stays(self.supplied)
        replace(torch, "save", lambda _: lambda *_, **__: None)
        torch.utils.data.DataLoader = Loader  # type: ignore[assignment, misc]
        Loader.around = self.around
        register_optimizer_step_pre_hook(self._see_optimizer)
        RUNS[self.job.method](self)

    def fill(self, kind: type[nn.Module], watch: Callable[[Any], object]) -> None:
        """Fill every network of a class by formula as soon as it is built, and announce it.

        Args:
            kind: the class; it is changed in place, since its code refers to it by name.
            watch: registers hooks on the network.
        """

        def make(construct: Callable[..., None]) -> Callable[..., None]:
            def call(network: nn.Module, *args: Any, **kwargs: Any) -> None:
                construct(network, *args, **kwargs)
                shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
                values = fill_all(shapes, self.job.method, self.job.salt)
                network.load_state_dict({key: torch.from_numpy(value) for key, value in values.items()})
                self.supplied.note("weights and images by formula in place of pretrained weights and a data set")
                self.network = network.double() if self.job.double else network
                watch(network)
                if self.job.details:
                    self.start = {key: value.clone() for key, value in self._tensors().items()}
                self.desk.tell((shapes, self.epoch_steps))

            return call

        replace(kind, "__init__", make)

    def keep_feature(self, feature: Any) -> None:
        """Record the pooled features (B, D) of a forward pass."""
        if self.job.details and self.network.training:
            self.feature = feature.detach()

    def around(self, batches: Iterator[Any], epoch_steps: int) -> Iterator[Any]:
        """Yield each batch on request, and report what happened until the next one was requested."""
        for batch in batches:
            count, wanted = self.desk.wait()
            self.step = Step(epoch_steps=epoch_steps, batch=self._as_ours(batch))
            state = self.network.state_dict() if wanted else {}
            self.step.state = {key: state[key].numpy().copy() for key in wanted}
            # The counter encloses the operations of one step, so it starts and ends with the step.
            counter = FlopCounterMode(display=False) if count else contextlib.nullcontext()
            with counter:
                started = cpu_seconds()
                yield batch
                self.step.seconds = cpu_seconds() - started
            self.step.operations = counter.get_total_flops() if isinstance(counter, FlopCounterMode) else 0
            if self.job.details:
                self._measure()
            self.step.supplied = self.supplied.lines
            self.desk.tell(finish(self.step))

    def term(self, name: str, value: float) -> None:
        """Record a loss."""
        self.step.terms[name] = value

    def noise(self, name: str) -> torch.Tensor:
        """Return the image (3, H, W) of that name."""
        drawn = torch.from_numpy(image(name, self.job.scale.size, self.job.salt))
        return drawn.double() if self.job.double else drawn

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {key: value for key, value in self.network.state_dict().items() if value.is_floating_point()}

    def _measure(self) -> None:
        if self.feature is not None:
            self.step.feature = float(self.feature.norm(dim=1).mean())
        now = self._tensors()
        self.step.weights = {key: float(value.norm()) for key, value in now.items()}
        self.step.moved = {key: float((value - self.start[key]).norm()) for key, value in now.items()}
        self.step.gradients = {
            key: float(value.grad.norm()) for key, value in self.network.named_parameters() if value.grad is not None
        }

    def _see_optimizer(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rates = [group["lr"] for group in optimizer.param_groups]
        # AGW's family: all but BNNeck and classifier, BNNeck, classifier.
        self.step.rates = {"rest": rates[0], "heads": rates[-1]}

    def _as_ours(self, batch: Any) -> dict[str, Any]:
        """Return the batch with the rows in this package's order: visible first, views ascending."""
        images, targets, modalities, views = ORDERS[self.job.method](batch)
        return {
            "images": images.numpy(),
            "targets": targets.numpy(),
            "modalities": np.asarray(modalities),
            "views": np.asarray(views),
        }


# AGW's family -----------------------------------------------------------------------------------------------------


class _Noise:
    """Stands in for the data sets of AGW's family, with the same labels and images by formula.

    Args:
        watch: provides the images.
        blocks: names of the images of a sample.
    """

    def __init__(self, watch: Watch, blocks: tuple[str, ...]) -> None:
        scale = watch.job.scale
        # More than one batch: two steps per epoch.
        count = max(scale.classes, scale.identities * scale.instances + 1)
        self.train_color_label = np.arange(count) % scale.classes
        self.train_thermal_label = np.arange(scale.classes)
        self.watch, self.blocks, self.epoch = watch, blocks, 0
        self.tIndex: Any = None
        self._visible: Any = None

    @property
    def cIndex(self) -> Any:  # noqa: N802  their name
        """Images of the epoch, set by the script."""
        return self._visible

    @cIndex.setter
    def cIndex(self, index: Any) -> None:  # noqa: N802
        self._visible = index
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        images = [self.watch.noise(f"{block} of {index} in epoch {self.epoch}") for block in self.blocks]
        return (
            *images,
            int(self.train_color_label[self._visible[index]]),
            int(self.train_thermal_label[self.tIndex[index]]),
        )


def _agw_family(watch: Watch, script: str, blocks: tuple[str, ...], *options: str) -> None:
    """Run a script that was made from AGW's."""
    supplied, scale = watch.supplied, watch.job.scale
    stand_ins.tensorboard(supplied)
    _without_download(supplied)
    supplied.note("data_loader, data_manager: noise images, no files; two steps an epoch; DataLoader: one process")
    loader: Any = importlib.import_module("data_loader")
    for name in ("SYSUData", "RegDBData", "LLCMData"):
        if hasattr(loader, name):
            setattr(loader, name, lambda *_, **__: _Noise(watch, blocks))
    loader.TestData = lambda *_, **__: None
    manager: Any = importlib.import_module("data_manager")
    supplied.note("the test after an epoch: 20 identities without images; nothing is saved")
    labels = np.arange(20)
    for name in ("process_query_sysu", "process_gallery_sysu", "process_query_llcm", "process_gallery_llcm"):
        setattr(manager, name, lambda *_, **__: ([], labels, labels))
    manager.process_test_regdb = lambda *_, **__: ([], labels)

    utils: Any = importlib.import_module("utils")
    watch.epoch_steps = _epoch_of_agw(utils, watch.job)
    replace(utils.AverageMeter, "update", functools.partial(_named, watch))
    model: Any = importlib.import_module("model")
    watch.fill(
        model.embed_net,
        lambda network: network.register_forward_hook(lambda _module, _inputs, outputs: watch.keep_feature(outputs[0])),
    )
    height, width = scale.size
    sys.argv = [
        script, "--dataset", watch.job.dataset, "--workers", "0", "--gpu", "0",
        "--batch-size", str(scale.identities), "--num_pos", str(scale.instances),
        "--img_h", str(height), "--img_w", str(width), *options,
    ]  # fmt: skip
    runpy.run_path(str(watch.folder / script), run_name="__main__")


def _epoch_of_agw(utils: Any, job: Job) -> int:
    """Return the number of batches that the sampler makes of a training set of real size, at the recipe's P and K."""
    scale = REPOSITORIES[job.method].recipe_scale(job.dataset)
    visible, infrared = spread(job.dataset)
    positions = utils.GenIdx(visible, infrared)
    sampler = utils.IdentitySampler(visible, infrared, *positions, scale.instances, scale.identities, 0)
    return len(list(sampler)) // (scale.identities * scale.instances)


def _without_download(supplied: Supplied) -> None:
    """Let `resnet50(pretrained=True)` build without weights; before `model` is imported."""
    supplied.note("resnet50(pretrained=True): nothing is downloaded")
    resnet: Any = importlib.import_module("resnet")
    replace(resnet, "resnet50", lambda build: lambda pretrained=False, **kwargs: build(pretrained=False, **kwargs))


def _named(watch: Watch, update: Callable[..., None]) -> Callable[..., None]:
    """Return a meter's `update` that also records the value, by the name of the script's variable."""

    def call(self: Any, value: Any, n: int = 1) -> None:
        update(self, value, n)
        names = sys._getframe(1).f_locals
        name = next((name for name, meter in names.items() if meter is self), "")
        if name.endswith("loss"):
            watch.term(name, float(value))

    return call


def _agw(watch: Watch) -> None:
    _agw_family(watch, "train.py", ("visible", "infrared"), "--method", "agw")


def _caj(watch: Watch) -> None:
    options = ["--method", "adp", "--augc", "1", "--rande", "0.5", "--alpha", "1", "--square", "1", "--gamma", "1"]
    watch.supplied.note(f"options of its README: {' '.join(options)}")
    _agw_family(watch, "train_ext.py", ("first visible view", "second visible view", "infrared"), *options)


def _deen(watch: Watch) -> None:
    if watch.job.double:
        stand_ins.without_dropout(watch.supplied, "p 0.01 in DEE")
    _agw_family(watch, "train.py", ("visible", "infrared"))


def _mscm(watch: Watch) -> None:
    supplied, (height, width) = watch.supplied, watch.job.scale.size
    supplied.note("torch.cuda.amp: autocast and GradScaler switch themselves off without a GPU (full precision)")
    _without_download(supplied)
    model: Any = importlib.import_module("model")
    tokens = (height // 16) * (width // 16)
    if tokens != 288:
        supplied.note(f"layerATT: H, W and edim, written for 384 x 192, set to {height // 16}, {width // 16}, {tokens}")

        def sized(construct: Callable[..., None]) -> Callable[..., None]:
            own = {"edim": tokens, "H": height // 16, "W": width // 16}
            return lambda self, **kwargs: construct(self, **{**kwargs, **own})

        replace(model.layerATT, "__init__", sized)
    views = ("first visible view", "second visible view", "first infrared view", "second infrared view")
    _agw_family(watch, "train.py", views)


# IDKL -------------------------------------------------------------------------------------------------------------


class _CamNoise:
    """Stands in for IDKL's data sets: identities and cameras, images by formula.

    It has enough identities for two batches, each with K images of both modalities: two steps per epoch.
    """

    def __init__(self, watch: Watch) -> None:
        scale = watch.job.scale
        each = scale.instances
        self.num_ids = scale.identities * 2
        samples = [(i, cam) for i in range(self.num_ids) for cam in (1, 3) for _ in range(each)]
        self.ids = [identity for identity, _ in samples]
        self.cam_ids = [cam for _, cam in samples]
        self.watch, self.served = watch, 0

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        self.served += 1
        drawn = self.watch.noise(f"image {self.served}")
        return drawn, torch.tensor(self.ids[index]), torch.tensor(self.cam_ids[index]), "", torch.tensor(index)


def _idkl(watch: Watch) -> None:
    supplied, scale, job = watch.supplied, watch.job.scale, watch.job
    stand_ins.apex(supplied)
    stand_ins.ignite(supplied)
    # torchvision looks for the files of all modules, and the stand-in has none.
    importlib.import_module("torchvision.transforms")
    supplied.note("cv2: an empty module (imported for figures)")
    stand_ins.stand_in_module("cv2", __getattr__=lambda _: 0)
    if job.double:
        stand_ins.without_dropout(supplied, "p 0.5 in the two classifiers of the modality")

    resnet: Any = importlib.import_module("models.resnet")
    supplied.note("load_state_dict_from_url: nothing is downloaded")
    resnet.load_state_dict_from_url = lambda *_, **__: {}
    supplied.note(
        "missing argument: modality_attention of Shared_module_fr, Shared_module_bh, Special_module, set to 0"
    )
    for name in ("Shared_module_fr", "Shared_module_bh", "Special_module"):
        replace(getattr(resnet, name), "__init__", _with_modality_attention)
    baseline: Any = importlib.import_module("models.baseline")
    supplied.note("missing attribute: mutual_learning of Baseline, set to False")
    baseline.Baseline.mutual_learning = False

    def hooks(network: Any) -> None:
        network.backbone.register_forward_hook(lambda _module, _inputs, outputs: watch.keep_feature(outputs[1]))
        network.register_forward_hook(functools.partial(_keep_losses, watch))

    watch.fill(baseline.Baseline, hooks)
    data: Any = importlib.import_module("data")
    watch.epoch_steps = _epoch_of_idkl(data, job)
    supplied.note(
        "data sets: noise images, no files; two steps an epoch; DataLoader: one process; the test sets are empty"
    )
    for name in ("SYSUDataset", "RegDBDataset", "LLCMData"):
        setattr(data, name, lambda *_, **__: _CamNoise(watch))
    config = {"sysu": "SYSU", "regdb": "RegDB", "llcm": "LLCM"}[job.dataset]
    settings = yaml.safe_load((watch.folder / "configs" / f"{config}.yml").read_text(encoding="utf-8"))
    settings |= {"p_size": scale.identities, "k_size": 2 * scale.instances, "start_eval": 10**6}
    Path("settings.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    sys.argv = ["train.py", "--cfg", "settings.yml"]
    runpy.run_path(str(watch.folder / "train.py"), run_name="__main__")


def _epoch_of_idkl(data: Any, job: Job) -> int:
    """Return the number of batches that the sampler makes of a training set of real size.

    The sampler stops when fewer than P identities have images left, which is random; this is the longest of ten epochs.
    """
    scale = REPOSITORIES[job.method].recipe_scale(job.dataset)
    visible, infrared = spread(job.dataset)
    np.random.seed(1)  # noqa: NPY002  what the sampler draws from
    images = SimpleNamespace(ids=[*visible, *infrared], cam_ids=[1] * len(visible) + [3] * len(infrared))
    sampler = data.RandomIdentitySampler(images, 2 * scale.identities * scale.instances, 2 * scale.instances)
    return max(len(list(sampler)) for _ in range(10)) // (2 * scale.identities * scale.instances)


def _with_modality_attention(construct: Callable[..., None]) -> Callable[..., None]:
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **{"modality_attention": 0, **kwargs})

    return call


def _keep_losses(watch: Watch, network: nn.Module, _inputs: Any, outputs: Any) -> None:
    if network.training:
        total, terms = outputs
        watch.term("total", float(total.detach()))
        for name, value in terms.items():
            if name != "acc":
                watch.term(name, float(value))


# The order of rows ------------------------------------------------------------------------------------------------


def _blocks(batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images, labels, modalities and views of a batch [V1, (V2,) I1, (I2,) visible labels, infrared labels]."""
    *images, visible, infrared = batch
    # 1 + 1, 2 + 1 or 2 + 2 blocks.
    numbers = {2: [(0, 0), (1, 0)], 3: [(0, 0), (0, 1), (1, 0)], 4: [(0, 0), (0, 1), (1, 0), (1, 1)]}[len(images)]
    rows = len(visible)
    targets = torch.cat([infrared if modality else visible for modality, _ in numbers])
    modalities = torch.tensor([modality for modality, _ in numbers]).repeat_interleave(rows)
    views = torch.tensor([view for _, view in numbers]).repeat_interleave(rows)
    return torch.cat(images), targets, modalities, views


def _interleaved(batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the same of IDKL's batch, whose rows alternate between the modalities."""
    images, labels, cameras = batch[:3]
    infrared = (cameras == 3) | (cameras == 6)
    order = torch.argsort(infrared.long(), stable=True)
    return images[order], labels[order], infrared[order].long(), torch.zeros_like(labels)


ORDERS: dict[str, Callable[[Any], tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]] = {
    "agw": _blocks,
    "caj": _blocks,
    "deen": _blocks,
    "mscm": _blocks,
    "idkl": _interleaved,
}
RUNS: dict[str, Callable[[Watch], None]] = {"agw": _agw, "caj": _caj, "deen": _deen, "idkl": _idkl, "mscm": _mscm}
