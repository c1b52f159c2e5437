import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg
from torch import Tensor, nn

from vireid_plugins.engine import VireidCheckpointer, load_model
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.hooks.checkpoints import Checkpoints
from vireid_plugins.engine.provenance import BINDING
from vireid_plugins.errors import DataError


def test_vireid_checkpointer_with_a_failed_write_leaves_the_previous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = VireidCheckpointer(nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("model", epoch=1)

    def full(content: object, stream) -> None:
        stream.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        DataError, match=r"model\.pth' cannot be written: No space left on device; the last good checkp"
    ):
        checkpointer.save("model", epoch=2)
    assert load_checkpoint(tmp_path / "model.pth")["epoch"] == 1
    assert (tmp_path / "last_checkpoint").read_text() == "model.pth"


def test_vireid_checkpointer_refuses_an_entry_that_the_format_does_not_list(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="entries that FORMAT does not list: teacher"):
        VireidCheckpointer(nn.Linear(2, 2), str(tmp_path), teacher=nn.Linear(2, 2)).save("model")
    assert not list(tmp_path.iterdir())


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("content", [b"torn", None, "evil", {"weights": 1}])
def test_load_checkpoint_names_what_is_none_and_runs_nothing_in_it(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "evil":
        torch.save({"model": Evil()}, file)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(DataError, match=r"model\.pth"):
        load_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def test_vireid_checkpointer_names_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth' does not exist \(MODEL.WEIGHTS"):
        VireidCheckpointer(nn.Linear(2, 2), str(tmp_path)).load("gone.pth")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[int], list[str]]]:
    """The messages of a level; fast-reid's loggers do not propagate once they are set up."""
    logger = logging.getLogger("fastreid")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "fastreid")
    # Once each, where they propagate as well.
    yield lambda level: list(dict.fromkeys(one.getMessage() for one in caplog.records if one.levelno == level))
    logger.removeHandler(caplog.handler)


def network(identities: int = 3) -> nn.Module:
    """A trunk and a head that is called as this package's are."""
    model = nn.Module()
    model.trunk = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model.heads = nn.ModuleDict({"global": nn.Linear(4, identities, bias=False)})
    return model


def saved(folder: Path, weights: dict[str, Any], **others: Any) -> str:
    file = folder / "given.pth"
    torch.save({"model": weights, **others}, file)
    return str(file)


def without(*names: str, **more: Tensor) -> dict[str, Tensor]:
    return {name: value for name, value in network().state_dict().items() if name not in names} | more


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (without("trunk.0.weight", "trunk.0.bias"), r"6 of 8 tensors fit; 2 are missing: trunk.0.weight, trunk.0.bias"),
        (without("trunk.1.running_mean"), r"7 of 8 tensors fit; 1 are missing: trunk.1.running_mean."),
        (without() | {"extra.weight": torch.ones(2)}, r"8 of 8 .*; 1 in the file have no counterpart: extra.weight."),
        (
            without() | {"trunk.0.weight": torch.ones(4, 1, 1, 1)},
            r"first: trunk.0.weight, \(4, 1, 1, 1\) in the file and \(4, 3, 1, 1\) here.",
        ),
        (
            without() | {"heads.global.weight": torch.ones(3, 9)},
            r"first: heads.global.weight, \(3, 9\) in the file and \(3, 4\) here.",
        ),
    ],
)  # fmt: skip
def test_vireid_checkpointer_refuses_to_fill_a_part_unless_asked_for(
    tmp_path: Path, weights: dict[str, Tensor], message: str, logged: Callable[[int], list[str]]
) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = saved(tmp_path, weights)
    with pytest.raises(
        DataError, match=rf"given\.pth' does not fill the network: .*{message}.* MODEL\.WEIGHTS_PARTIAL T"
    ):
        VireidCheckpointer(model).load(file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    VireidCheckpointer(model, partial=True).load(file)
    taken = [
        name for name, value in model.state_dict().items() if name in weights and value.shape == weights[name].shape
    ]
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in taken)
    (warning,) = logged(logging.WARNING)
    assert "given.pth' does not fill the network: " in warning


def test_vireid_checkpointer_refuses_to_fill_nothing_whatever_is_asked_for(tmp_path: Path) -> None:
    for weights in ({}, {"other.weight": torch.ones(2)}):
        with pytest.raises(DataError, match=r"given\.pth' contains no weights of this network: 0 of 8 tensors fit"):
            VireidCheckpointer(network(), partial=True).load(saved(tmp_path, weights))


def test_vireid_checkpointer_refuses_a_checkpoint_of_plain_values(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"given\.pth': 'model' must be a state dict, but 'epoch' is int, not a tensor"):
        VireidCheckpointer(network()).load(saved(tmp_path, {**network().state_dict(), "epoch": 3}))


def test_vireid_checkpointer_with_other_identities_starts_classifiers_anew(
    tmp_path: Path, logged: Callable[[int], list[str]]
) -> None:
    given = network(identities=5).state_dict()
    model = network()
    drawn = model.heads["global"].weight.clone()
    VireidCheckpointer(model).load(saved(tmp_path, given))
    assert torch.equal(model.heads["global"].weight, drawn)
    assert torch.equal(model.trunk[0].weight, given["trunk.0.weight"])
    del given["heads.global.weight"]
    VireidCheckpointer(model).load(saved(tmp_path, given))
    said = [text for text in logged(logging.INFO) if text.startswith("Classifiers")]
    assert [text.rpartition(": ")[2] for text in said] == ["heads.global.weight has 5", "heads.global.weight has no"]
    assert logged(logging.WARNING) == []


def test_vireid_checkpointer_resumes_with_the_classifier_or_not_at_all(tmp_path: Path) -> None:
    """Nor does a partial fill help: the optimizer's state would be of other weights."""
    facts = dict.fromkeys(BINDING, "the same")
    VireidCheckpointer(network(identities=5), str(tmp_path), facts=facts).save("model", optimizer={})
    checkpointer = VireidCheckpointer(network(), str(tmp_path), facts=facts, partial=True)
    with pytest.raises(
        DataError, match=r"heads\.global\.weight, \(5, 4\) in the file.*A run can only be resumed with the same network"
    ):
        checkpointer.resume_or_load("")


def test_vireid_checkpointer_ignores_batch_norm_counters_and_wrapped_names(tmp_path: Path) -> None:
    weights = without("trunk.1.num_batches_tracked") | {"pixel_mean": torch.zeros(1, 3, 1, 1)}
    model = network()
    VireidCheckpointer(model).load(
        saved(tmp_path, {f"module.{name}": value.numpy() for name, value in weights.items()})
    )
    assert torch.equal(model.trunk[0].weight, weights["trunk.0.weight"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.META_ARCHITECTURE", "IDKL"], r"MODEL\.META_ARCHITECTURE: CrossModalityBaseline -> IDKL"),
        (["MODEL.STREAMS.COUNT", "2"], r"keys now: MODEL\.STREAMS\.COUNT: 1 -> 2\. "),
        (
            ["MODEL.ATTENTION.STAGE2", "['NonLocal@0']"],
            r"keys now: MODEL\.ATTENTION\.STAGE2: \[\] -> \['NonLocal@0'\]\. ",
        ),
    ],
)  # fmt: skip
def test_load_model_of_another_network_says_what_it_was_trained_as(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    trained = small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.NUM_CLASSES", "5")
    facts = {"config": trained.dump(), "meta_architecture": trained.MODEL.META_ARCHITECTURE, "num_classes": 5}
    file = saved(tmp_path, build_model(trained).state_dict(), vireid=facts)
    with pytest.raises(DataError, match=message):
        load_model(small_cfg("SYSU/one_stream.yml", "MODEL.WEIGHTS", file, *overrides))
    del facts["config"]
    file = saved(tmp_path, load_checkpoint(Path(file))["model"], vireid=facts)
    with pytest.raises(DataError, match=r"does not fill the network"):
        load_model(small_cfg("SYSU/one_stream.yml", "MODEL.WEIGHTS", file, *overrides))
    wide = small_cfg("SYSU/one_stream.yml", "MODEL.WEIGHTS", file, *overrides, "MODEL.WEIGHTS_PARTIAL", "True")
    assert load_model(wide) is not None


def test_checkpoints_keep_the_best_of_every_evaluation(tmp_path: Path) -> None:
    """Epochs 0 to 5, a checkpoint every 4; the best evaluations lie between two of them."""
    hook = Checkpoints(VireidCheckpointer(nn.Linear(2, 2), str(tmp_path)), period=4)
    hook.max_epoch, hook.trainer = 6, SimpleNamespace(iters_per_epoch=3)
    best, last = [], []
    for epoch, metric in enumerate((0.2, 0.5, 0.5, 0.4, 0.6, 0.1)):
        hook.step(epoch, metric=metric)
        best.append(load_checkpoint(tmp_path / "model_best.pth")["epoch"])
        last.append((tmp_path / "last_checkpoint").read_text())
    assert best == [0, 1, 1, 1, 4, 4]
    # The best is what a run goes on from only until there is another checkpoint.
    assert last == [*["model_best.pth"] * 3, *["model_0003.pth"] * 2, "model_final.pth"]
    assert {file.name for file in tmp_path.glob("*.pth")} == {"model_best.pth", "model_0003.pth", "model_final.pth"}
