import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage
from helpers import small_cfg
from torch import Tensor, nn

from vireid_plugins.engine import VireidCheckpointer, load_model
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.checkpoint_fill import classifiers_of_others
from vireid_plugins.engine.hooks.checkpoints import Checkpoints
from vireid_plugins.engine.provenance import BINDING, network_facts
from vireid_plugins.engine.run_files import last_weights
from vireid_plugins.errors import DataError
from vireid_plugins.modeling.fit import fit


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


def test_vireid_checkpointer_leaves_out_the_classifier_that_a_network_lacks(
    tmp_path: Path, logged: Callable[[int], list[str]]
) -> None:
    """A method that learns without labels starts from the weights of one with them."""
    model = network()
    del model.heads
    VireidCheckpointer(model).load(saved(tmp_path, given := network().state_dict()))
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())
    assert any(
        line.endswith("; classifiers that the network lacks: heads.global.weight") for line in logged(logging.INFO)
    )


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
    said = [text for text in logged(logging.INFO) if "tensors loaded" in text]
    total = len(model.state_dict())
    assert [text.partition(" from ")[0] for text in said] == [f"{total - 1} of {total} tensors loaded"] * 2
    assert [text.rpartition("; new: ")[2] for text in said] == [
        "heads.global.weight (5 identities in the file)",
        "heads.global.weight (no identities in the file)",
    ]
    VireidCheckpointer(model).load(saved(tmp_path, model.state_dict()))
    assert logged(logging.INFO)[-1] == f"{total} of {total} tensors loaded from {tmp_path / 'given.pth'}"
    assert logged(logging.WARNING) == []


def test_classifiers_of_others_are_those_of_named_heads_and_of_a_single_one() -> None:
    names = ["heads.global.weight", "heads.weight", "heads.global.bottleneck.0.weight", "backbone.heads.weight"]
    found = fit({name: torch.ones(3, 2) for name in names}, {name: torch.ones(5, 2) for name in names}, "it")
    assert classifiers_of_others(found) == names[:2]


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


def average_of(value: float) -> dict[str, Any]:
    weights = {name: torch.full_like(one, value) for name, one in network().state_dict().items()}
    return {"average": {"model": weights, "steps": 3}}


def test_vireid_checkpointer_takes_averaged_weights_unless_others_are_asked_for(
    tmp_path: Path, logged: Callable[[int], list[str]]
) -> None:
    file = saved(tmp_path, network().state_dict(), **average_of(2.0))
    averaged, last = network(), network()
    VireidCheckpointer(averaged).load(file)
    VireidCheckpointer(last, average=False).load(file)
    assert all((value == 2).all() for value in averaged.state_dict().values())
    assert not (last.trunk[0].weight == 2).any()
    assert [text.split(": ")[1] for text in logged(logging.INFO) if "its averaged weights" in text]
    (warned,) = logged(logging.WARNING)
    assert "given.pth: the weights of its last step, not their average (MODEL.WEIGHTS_AVERAGED False)" in warned


def test_vireid_checkpointer_takes_an_average_that_is_none_for_no_average(tmp_path: Path) -> None:
    model = network()
    VireidCheckpointer(model).load(saved(tmp_path, {k: v + 1 for k, v in model.state_dict().items()}, average=None))


# The right keys with other contents, and the message.
CONTENTS: dict[str, tuple[dict[str, Any], str]] = {
    "an average of nothing": ({"average": {}}, "'average' has no number of steps"),
    "an average of a number": ({"average": {"steps": 3, "model": 4}}, "'model' in 'average' must be a state dict"),
    "an average that is a list": ({"average": [3]}, "'average' is list, not a dict"),
    "provenance that is a list": ({"vireid": [1, 2]}, "'vireid' is list, not a dict"),
    "splits that are a list": ({"vireid": {"splits": [1]}}, r"'splits' in 'vireid' is \[1\]"),
    "a split that is a word": ({"vireid": {"splits": {"RegDB": "one"}}}, "'splits' in 'vireid' has 'RegDB': 'one'"),
    "a configuration that is a dict": ({"vireid": {"config": {}}}, "'config' in 'vireid' is {}"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTENTS)
def test_load_checkpoint_with_other_contents_is_one_error(tmp_path: Path, case: str) -> None:
    entries, message = CONTENTS[case]
    file = saved(tmp_path, network().state_dict(), **entries)
    with pytest.raises(DataError, match=rf"^checkpoint '{file}': {message}"):
        VireidCheckpointer(network()).load(file)


@pytest.mark.parametrize("classes", [10**12, -1, 2.5, "3", None, True])
def test_load_model_of_a_wild_number_of_identities_is_one_error(tmp_path: Path, classes: object) -> None:
    file = saved(tmp_path, network().state_dict(), vireid={"num_classes": classes})
    with pytest.raises(
        DataError, match=rf"given\.pth': 'num_classes' in 'vireid' is {classes!r}, and no weight has mor"
    ):
        load_model(small_cfg("SYSU/one_stream.yml", "MODEL.WEIGHTS", file))


@pytest.mark.parametrize("config", ["[1", "just words", "a: &x [*x]", "a: 1"])
def test_vireid_checkpointer_of_a_configuration_that_is_none_is_one_error(tmp_path: Path, config: str) -> None:
    file = saved(tmp_path, network().state_dict(), vireid={"config": config})
    if config == "a: 1":
        # Valid YAML with other keys only: none of them is compared.
        VireidCheckpointer(network(), facts={"config": "b: 1"}).load(file)
        return
    with pytest.raises(DataError, match=r"given\.pth': the configuration in its 'vireid' cannot be read: a saved conf"):
        VireidCheckpointer(network(), facts={"config": "b: 1"}).load(file)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((4,), float("nan")), "has weights that are infinite or NaN, 1 of 8 tensors: trunk.0.bias; use a "),
        (torch.full((4,), 1e300, dtype=torch.float64), "has weights that are infinite or NaN, 1 of 8 tensors: trunk"),
        (
            torch.ones(4, dtype=torch.int32),
            r".* 1 have another type, the first: trunk\.0\.bias, int32 in the file and f",
        ),
        (
            torch.ones(4, dtype=torch.complex64),
            ".* 1 have another type, the first: .* complex64 in the file and",
        ),
        (torch.ones(4).to_sparse(), ".* 1 have another type, the first: .* sparse_coo float32 in the file and float32"),
        (torch.ones(4, device="meta"), ".* 1 have another type, the first: .* meta float32 in the file and float32"),
    ],
)
def test_vireid_checkpointer_refuses_numbers_that_are_no_weights(tmp_path: Path, value: Tensor, message: str) -> None:
    file = saved(tmp_path, without() | {"trunk.0.bias": value})
    with pytest.raises(DataError, match=rf"^checkpoint '{file}' {message}"):
        VireidCheckpointer(network()).load(file)
    file = saved(tmp_path, without() | {"trunk.0.bias": torch.ones(4).half()})
    VireidCheckpointer(network()).load(file)


@pytest.mark.parametrize("tag", [b"\xff\xfe\x00", b"../other.pth", b"a\0b", b"", b"x" * 5000])
def test_last_checkpoint_that_names_none_is_one_error_and_a_run_is_resumed_by_dates(
    tmp_path: Path, tag: bytes, logged: Callable[[int], list[str]]
) -> None:
    facts = dict.fromkeys(BINDING, "the same")
    checkpointer = VireidCheckpointer(network(), str(tmp_path), facts=facts)
    checkpointer.save("model", epoch=4, optimizer={})
    (tmp_path / "last_checkpoint").write_bytes(tag)
    with pytest.raises(
        DataError, match=r"last_checkpoint' does not hold the name of a checkpoint in its folder; write"
    ):
        load_model(small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(tmp_path)))
    assert checkpointer.resume_or_load("")["epoch"] == 4
    assert "last_checkpoint' does not hold the name" in logged(logging.WARNING)[0]


def test_vireid_checkpointer_resumes_from_the_last_that_is_whole(
    tmp_path: Path, logged: Callable[[int], list[str]]
) -> None:
    """Links to nothing, folders, and right keys with other contents count as torn."""
    facts = dict.fromkeys(BINDING, "the same")
    part = nn.Linear(2, 2)
    checkpointer = VireidCheckpointer(network(), str(tmp_path), facts=facts, metrics=part)
    good = {"epoch": 4, "iteration": 10, "iters_per_epoch": 2, "optimizer": {}}
    checkpointer.save("good", **good)
    whole = load_checkpoint(tmp_path / "good.pth")
    nan = without("trunk.0.bias") | {"trunk.0.bias": torch.full((4,), torch.nan)}
    broken = {
        "epoch": {"epoch": "four"},
        "no_epoch": {"epoch": None},
        "iteration": {"iteration": -1},
        "position": {"iteration": 99},
        "steps": {"iters_per_epoch": 0},
        "metrics": {"metrics": {"weight": torch.ones(2, 2)}},
        "nan": {"model": nan},
    }
    for name, entries in broken.items():
        torch.save(whole | entries, tmp_path / f"{name}.pth")
    (tmp_path / "link.pth").symlink_to("gone")
    (tmp_path / "folder.pth").mkdir()
    assert checkpointer.resume_or_load("")["epoch"] == 4
    assert checkpointer.resumed == tmp_path / "good.pth"
    (tmp_path / "last_checkpoint").write_text("nan.pth")
    os.utime(tmp_path / "good.pth", (0, 0))
    assert checkpointer.resume_or_load("")["epoch"] == 4
    assert checkpointer.resumed == tmp_path / "good.pth"
    said = logged(logging.WARNING)
    for name in (*broken, "link", "folder"):
        assert [text for text in said if f"{name}.pth'" in text and text.endswith("trying the previous checkpoint")]
    assert all(bool(value.isfinite().all()) for value in checkpointer.model.state_dict().values())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"], "MODEL.HEADS.POOL_LAYER: GlobalAvgPool -> GlobalMaxPool"),
        (["INPUT.SIZE_TEST", "[96, 48]"], "INPUT.SIZE_TEST: [64, 32] -> [96, 48]"),
        (["MODEL.STREAMS.MAX_POOL", "torchvision"], "MODEL.STREAMS.MAX_POOL: fastreid -> torchvision"),
        (["MODEL.STREAMS.MAX_POOL", "auto"], ""),
        (["MODEL.LOSSES.NAME", "['LabelSmoothCE']", "SOLVER.EMA_DECAY", "0.5", "SOLVER.BASE_LR", "1.0"], ""),
    ],
)
def test_load_model_with_keys_that_change_the_features_warns_and_names_them(
    tmp_path: Path, overrides: list[str], said: str, logged: Callable[[int], list[str]]
) -> None:
    trained = small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.NUM_CLASSES", "5")
    file = saved(tmp_path, build_model(trained).state_dict(), vireid=network_facts(trained) | {"num_classes": 5})
    load_model(small_cfg("SYSU/one_stream.yml", "MODEL.WEIGHTS", file, *overrides))
    warned = [text.rpartition("then -> now: ")[2] for text in logged(logging.WARNING) if "given.pth" in text]
    assert warned == [said] * bool(said)


def test_load_model_pools_as_it_was_trained_wherever_the_pretrained_weights_are_now(tmp_path: Path) -> None:
    trained = small_cfg("SYSU/one_stream.yml", "MODEL.STREAMS.MAX_POOL", "fastreid", "MODEL.HEADS.NUM_CLASSES", "5")
    file = saved(tmp_path, build_model(trained).state_dict(), vireid=network_facts(trained) | {"num_classes": 5})
    keys = ["MODEL.STREAMS.MAX_POOL", "auto", "MODEL.BACKBONE.PRETRAIN_PATH", "gone.pth", "MODEL.WEIGHTS", file]
    assert load_model(small_cfg("SYSU/one_stream.yml", *keys)).backbone.stem.copies[0].blocks[3].padding == 0


def test_checkpoints_keep_the_best_of_every_evaluation(tmp_path: Path) -> None:
    """Epochs 0 to 5, a checkpoint every 4; the best evaluations lie between two of them."""
    hook = Checkpoints(VireidCheckpointer(nn.Linear(2, 2), str(tmp_path)), period=4)
    hook.max_epoch, hook.metric_name, hook.trainer = 6, "metric", SimpleNamespace(iters_per_epoch=3)
    best, last = [], []
    for epoch, metric in enumerate((0.2, 0.5, 0.5, 0.4, 0.6, 0.1)):
        hook.trainer.epoch = epoch
        with EventStorage(epoch) as storage:
            storage.put_scalar("metric", metric)
            hook.after_epoch()
        best.append(load_checkpoint(tmp_path / "model_best.pth")["epoch"])
        last.append((tmp_path / "last_checkpoint").exists())
    assert best == [0, 1, 1, 1, 4, 4]
    # The run is saved before an evaluation, which this test leaves out.
    assert last == [False, False, False, True, True, True]
    assert {file.name for file in tmp_path.glob("*.pth")} == {"model_best.pth", "last.pth", "model_final.pth"}


def test_last_weights_are_the_final_ones_only_if_they_came_last(tmp_path: Path) -> None:
    for number, name in enumerate(("last", "model_final")):
        (tmp_path / f"{name}.pth").touch()
        os.utime(tmp_path / f"{name}.pth", (number, number))
    (tmp_path / "last_checkpoint").write_text("last.pth")
    assert last_weights(tmp_path) == tmp_path / "model_final.pth"
    # Continued with more epochs.
    os.utime(tmp_path / "last.pth", (2, 2))
    assert last_weights(tmp_path) == tmp_path / "last.pth"
    (tmp_path / "model_final.pth").unlink()
    assert last_weights(tmp_path) == tmp_path / "last.pth"


def test_load_checkpoint_of_a_folder_names_the_checkpoints_in_it(tmp_path: Path) -> None:
    for name in ("model_final", "last"):
        (tmp_path / f"{name}.pth").touch()
    with pytest.raises(DataError, match=r"is a folder; name one of its checkpoints: last\.pth, model_final\.pth"):
        load_checkpoint(tmp_path)
