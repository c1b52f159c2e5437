"""`tools/benchmarks/parity.py` without any public repository, and its page."""

import re
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, python
from parity_parts import released, scoring
from parity_parts.columns import Row, compare, first_difference
from parity_parts.exchange import Job, Side, Step
from parity_parts.formula import fill, image
from parity_parts.ours import epoch_length
from parity_parts.repositories import REPOSITORIES, Scale, commit_of, find_folder
from parity_parts.speed import GIB, largest
from parity_parts.stand_ins import Engine, Events
from shared_parts.errors import BenchmarkError
from table_parts import parity as tables

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import PROTOCOLS

# A public repository in small: its files, our words. What a CPU lacks and what is deprecated occurs in it.
CLONE = {
    "resnet.py": """
from torch import nn
def resnet50(pretrained=False):
    assert not pretrained, "a download"
    return nn.Conv2d(3, 4, 1)
""",
    "model.py": """
import torch
from torch import nn
from resnet import resnet50
class embed_net(nn.Module):
    def __init__(self, classes, no_local, gm_pool):
        super(embed_net, self).__init__()
        self.body = resnet50(pretrained=True)
        self.bottleneck = nn.BatchNorm1d(4)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(4, classes, bias=False)
    def forward(self, x1, x2, modal=0):
        pooled = self.body(torch.cat((x1, x2))).mean((2, 3)).float()
        return pooled, self.classifier(self.bottleneck(pooled))
""",
    "data_loader.py": "class SYSUData: pass\nclass RegDBData: pass\nclass TestData: pass\n",
    "data_manager.py": """
def process_query_sysu(*_): raise FileNotFoundError
process_gallery_sysu = process_test_regdb = process_query_sysu
""",
    "utils.py": """
import numpy as np
class AverageMeter:
    def update(self, value, n=1): self.value = value
def GenIdx(visible, infrared):
    return [[[k for k, v in enumerate(of) if v == i] for i in sorted(set(of))] for of in (visible, infrared)]
class IdentitySampler:
    def __init__(self, visible, infrared, of_visible, of_infrared, each, identities, epoch):
        batches = len(visible) // (identities * each) + 1
        chosen = [np.random.permutation(len(of_visible))[:identities] for _ in range(batches)]
        self.index1 = np.concatenate([np.repeat(of_visible[i][0], each) for batch in chosen for i in batch])
        self.index2 = np.concatenate([np.repeat(of_infrared[i][0], each) for batch in chosen for i in batch])
    def __iter__(self): return iter(range(len(self.index1)))
    def __len__(self): return len(self.index1)
""",
    "train.py": """
import argparse, numpy as np, torch
import torch.utils.data as data
from torch import nn, optim
from tensorboardX import SummaryWriter
from data_loader import SYSUData, TestData
from data_manager import *
from model import embed_net
from utils import *
parser = argparse.ArgumentParser()
for name in ("--dataset", "--gpu", "--method"): parser.add_argument(name)
for name in ("--workers", "--batch-size", "--num_pos", "--img_h", "--img_w"): parser.add_argument(name, type=int)
args = parser.parse_args()
assert (args.dataset, args.method) == ("sysu", "agw")
torch.cuda.set_device(0)
writer = SummaryWriter("log")
trainset = SYSUData("nowhere")
query, labels, cameras = process_query_sysu("nowhere")
testing = data.DataLoader(TestData(query, labels), batch_size=4, shuffle=False, num_workers=args.workers)
positions = GenIdx(trainset.train_color_label, trainset.train_thermal_label)
net = embed_net(len(np.unique(trainset.train_color_label)), no_local="on", gm_pool="on").cuda()
heads = list(map(id, net.bottleneck.parameters())) + list(map(id, net.classifier.parameters()))
rest = filter(lambda p: id(p) not in heads, net.parameters())
optimizer = optim.SGD([{"params": rest, "lr": 0.01}, {"params": net.bottleneck.parameters()},
                       {"params": net.classifier.parameters()}], lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
def train(epoch):
    for group in optimizer.param_groups: group["lr"] *= 1 + epoch
    train_loss, data_time = AverageMeter(), AverageMeter()
    net.train()
    for x1, x2, y1, y2 in loader:
        data_time.update(7.0)
        y = torch.cat((y1, y2)).cuda()
        _, logits = net(x1.cuda(), x2.cuda())
        loss = nn.CrossEntropyLoss()(logits, y) + torch.tensor(0.5, device="cuda")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss.update(loss.item(), 8)
    writer.add_scalar("loss", train_loss.value, epoch)
for epoch in range(3):
    sampler = IdentitySampler(trainset.train_color_label, trainset.train_thermal_label, *positions, args.num_pos,
                              args.batch_size, epoch)
    trainset.cIndex, trainset.tIndex = sampler.index1, sampler.index2
    loader = data.DataLoader(trainset, batch_size=args.batch_size * args.num_pos, sampler=sampler, drop_last=True)
    train(epoch)
    net.eval()
    assert not list(testing)
    torch.save(net.state_dict(), "/nowhere/best.t")
""",
}
JOB = Job("agw", "sysu", "SYSU/agw.yml", "agw", Scale(3, 2, (8, 4), 5))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name, text in CLONE.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.slow
def test_side_of_the_public_code_equals_its_own_steps_by_hand(clone: Path, tmp_path: Path) -> None:
    with Side(released.take_steps, (JOB, str(clone)), tmp_path / "scratch", "the clone") as side:
        shapes, epoch = side.ask()
        steps = [side.ask(True, tuple(shapes) if n else ()) for n in range(3)]
    # 22,258 visible images, 8 identities of 4.
    assert epoch == 22258 // 32 + 1
    weights = {
        key: torch.from_numpy(fill(key, shape, "agw")).double().requires_grad_(key.split(".")[-1] in ("weight", "bias"))
        for key, shape in shapes.items()
    }
    start = {key: value.detach().clone() for key, value in weights.items()}
    trained = [weights[key] for key in ("body.weight", "body.bias", "bottleneck.weight", "classifier.weight")]
    groups = [{"params": trained[:2], "lr": 0.01}, {"params": trained[2:], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for number, step in enumerate(steps):
        # Two steps an epoch; the schedule doubles the rate in the second one.
        factor = 1 + number // 2
        assert step.epoch_steps == 2
        assert step.rates == pytest.approx({"rest": 0.01 * factor, "heads": 0.1 * factor})
        for group, rate in zip(optimizer.param_groups, (0.01, 0.1), strict=True):
            group["lr"] = rate * factor
        images, targets = torch.from_numpy(step.batch["images"]), torch.from_numpy(step.batch["targets"])
        assert images.dtype == torch.float64
        assert step.batch["modalities"].tolist() == [0] * 6 + [1] * 6
        assert targets[:6].tolist() == targets[6:].tolist()
        serial, turn = divmod(number, 2)
        expected = image(f"infrared of {6 * turn + 4} in epoch {serial + 1}", (8, 4))
        assert images[10].float().equal(torch.from_numpy(expected))
        pooled = F.conv2d(images, weights["body.weight"], weights["body.bias"]).mean((2, 3))
        neck = F.batch_norm(pooled, None, None, weights["bottleneck.weight"], weights["bottleneck.bias"], training=True)
        loss = F.cross_entropy(neck @ weights["classifier.weight"].T, targets) + 0.5
        optimizer.zero_grad()
        loss.backward()
        before = {key: value.detach().numpy().copy() for key, value in weights.items()}
        optimizer.step()
        assert bool(step.state) == bool(number)
        for key in [key for key in step.state if "bottleneck" not in key or key.endswith("weight")]:
            np.testing.assert_allclose(step.state[key], before[key], rtol=1e-12, atol=1e-15)
        assert step.gradients == {
            key: pytest.approx(value.grad.norm().item(), rel=1e-11)
            for key, value in weights.items()
            if value.grad is not None and key != "bottleneck.bias"
        }
        assert step.terms == {"train_loss": pytest.approx(loss.item(), rel=1e-13)}
        assert step.feature == pytest.approx(pooled.norm(dim=1).mean().item(), rel=1e-13)
        for key in ("body.weight", "classifier.weight", "bottleneck.bias"):
            assert step.weights[key] == pytest.approx(weights[key].norm().item(), rel=1e-13)
            assert step.moved[key] == pytest.approx((weights[key] - start[key]).norm().item(), rel=1e-11)
        # Two products of 12 x 4 x 5 forward, and their gradients backward, beside the convolution's.
        assert step.operations > 3 * 2 * 12 * 4 * 5
    given = "\n".join(steps[-1].supplied)
    assert all(words in given for words in ("no GPU", "float64", "tensorboardX", "nothing is downloaded", "by formula"))
    assert "dropout" not in given
    assert sorted(file.name for file in clone.iterdir()) == sorted(CLONE)


@pytest.mark.slow
def test_side_that_fails_says_why(clone: Path, tmp_path: Path) -> None:
    (clone / "model.py").write_text("print('before it fails')\nimport nowhere_to_be_found\n")
    said = r"(?s)the clone failed.*nowhere_to_be_found.*before it fails"
    with (
        Side(released.take_steps, (JOB, str(clone)), tmp_path / "scratch", "the clone") as side,
        pytest.raises(BenchmarkError, match=said),
    ):
        side.ask()


def test_find_folder_takes_the_clone_or_the_folder_in_it(tmp_path: Path) -> None:
    for method, repository in REPOSITORIES.items():
        folder = tmp_path / method / repository.folder
        for file, words in repository.marks.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(f"# {words}\n")
        assert find_folder(method, tmp_path / method) == folder
        assert find_folder(method, folder) == folder
    with pytest.raises(ConfigError, match=r"no DEEN/train\.py with 'CPMLoss'; deen needs a clone of .*ZYK100/LLCM"):
        find_folder("deen", tmp_path / "agw")
    with pytest.raises(ConfigError, match=r"there is no folder .* a clone of .*1KK077/IDKL \(commit 8676b6200987\)"):
        find_folder("idkl", tmp_path / "nothing")
    # Another method's folder has files of the same names.
    with pytest.raises(ConfigError, match=r"TripletLoss_WRT"):
        find_folder("agw", tmp_path / "mscm")
    assert commit_of(tmp_path) == "unknown"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["agm", "--official", "x"],
            "METHOD: unknown method 'agm'; available: agw (mangye16/Cross-Modal-Re-ID-baseline, ",
        ),
        (["caj", "--official", "x"], "--official: there is no folder 'x'; caj needs a clone of https://github.com/mangye16/"),
        (["mscm", "--official", "docs"], "'docs' has no train.py with 'QuarCenterTripletLoss'; mscm needs a clone of"),
        (["agw"], "the following arguments are required: --official"),
        (["agw", "--official", "x", "--steps", "-1"], "argument --steps: must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_parity_with_bad_arguments_is_one_error(arguments: list[str], said: str) -> None:
    ran = python("tools/benchmarks/parity.py", *arguments)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_parity_refuses_a_data_set_that_the_public_code_has_not(tmp_path: Path) -> None:
    for file, words in REPOSITORIES["agw"].marks.items():
        (tmp_path / file).write_text(words)
    ran = python("tools/benchmarks/parity.py", "agw", "--official", str(tmp_path), "--datasets", "llcm")
    assert ran.returncode == 1
    assert "error: --datasets: the public code of agw has no llcm" in ran.stderr


def test_fill_goes_by_the_kind_of_key() -> None:
    def normal(key: str, shape: tuple[int, ...]) -> Any:
        return np.random.RandomState(zlib.crc32(key.encode()) + 3).standard_normal(shape)

    shape = (6, 5, 2, 2)
    kinds = {
        "a.conv.weight": (shape, lambda x: x / np.sqrt(20)),
        "a.bn.weight": ((4,), lambda x: 0.8 + 0.1 * x),
        "a.bn.bias": ((4,), lambda x: 0.1 * x),
        "attn.in_proj_bias": ((4,), lambda x: 0.1 * x),
        "a.bn.running_mean": ((4,), lambda x: 0.1 * x),
        "a.bn.running_var": ((4,), lambda x: 1 + 0.1 * np.abs(x)),
        # The factors of the method.
        "base_resnet.base.layer1.0.bn3.weight": ((4,), lambda x: 0.25 * (0.8 + 0.1 * x)),
        "NL_2.0.W.1.weight": ((4,), lambda x: 0.1 * (0.8 + 0.1 * x)),
        "NL_2.0.W.0.weight": (shape, lambda x: x / np.sqrt(20)),
    }
    for key, (size, of) in kinds.items():
        np.testing.assert_array_equal(fill(key, size, "agw", salt=3), of(normal(key, size)).astype(np.float32))
    assert fill("a.bn.num_batches_tracked", (), "agw").dtype == np.int64
    np.testing.assert_allclose(fill("x.bn3.weight", (4,), "idkl"), 4 * fill("x.bn3.weight", (4,), "agw"), rtol=1e-6)
    assert not np.array_equal(fill("a.bn.bias", (4,), "agw", 3), fill("a.bn.bias", (4,), "agw", 4))


def test_row_difference_is_relative_above_a_floor() -> None:
    assert Row(0, "a", 2.0, 2.5).difference == pytest.approx(0.2)
    assert Row(0, "a", -1.0, 1.0).difference == 2
    assert Row(0, "a", 0.0, 0.0).difference == 0
    # Rounding of a gradient that is zero.
    assert Row(0, "a", 1e-19, 3e-19).difference < 1e-12
    assert Row(0, "a", 1e-5, 2e-5, floor=1e-4).difference == pytest.approx(0.1)
    assert Row(0, "a", float("nan"), 1.0).difference == float("inf")
    assert Row(0, "a", float("inf"), float("inf")).difference == 0


def test_first_difference_is_the_first_in_order_not_the_largest() -> None:
    rows = [Row(0, "a", 1, 1), Row(0, "b", 1, 1 + 1e-6), Row(1, "a", 1, 2)]
    assert first_difference(rows, 1e-9) == rows[1]
    assert first_difference(rows, 1e-3) == rows[2]
    assert first_difference(rows, 1) is None
    # From the same weights nothing is amplified, so a wide tolerance does not count.
    rows.append(replace(rows[1], same_start=True))
    assert first_difference(rows, 1) == rows[-1]


def steps(**changes: Any) -> tuple[Step, Step]:
    """A step of IDKL on both sides that agree."""
    there = Step(
        terms={"total": 5.5, "ce": 1.0, "tri": 3.0, "F_p": 10.0, "bg_kl": 0.25, "sm_kl": 0.25},
        rates={"rest": 0.1, "heads": 0.1},
        feature=7.0,
        weights={"bn_neck.running_mean": 2.0, "classifier.weight": 3.0, "backbone.IN.weight": 4.0},
        moved={"bn_neck.running_mean": 0.2, "classifier.weight": 0.3, "backbone.IN.weight": 0.4},
        gradients={"classifier.weight": 0.5, "backbone.IN.weight": 1e-16},
    )  # fmt: skip
    here = Step(
        terms={
            "loss_label_smooth_ce": 1.0, "loss_hard_triplet": 1.0, "loss_sp_hard_triplet": 2.0, "loss_purifier_e": 1.0,
            "loss_csa": 0.1,
            "loss_mdr_class": 0.4,
        },
        rates={"rest": 0.1, "heads": 0.1},
        feature=7.0,
        weights={"heads.sh.bottleneck.0.running_mean": 2.0, "heads.sh.weight": 3.0, "purifier.norm.weight": 4.0},
        moved={"heads.sh.bottleneck.0.running_mean": 0.2, "heads.sh.weight": 0.3, "purifier.norm.weight": 0.4},
        gradients={"heads.sh.weight": 0.5, "purifier.norm.weight": 3e-16},
    )  # fmt: skip
    return there, replace(here, **changes)


NAMES = {
    "bn_neck.running_mean": "heads.sh.bottleneck.0.running_mean",
    "classifier.weight": "heads.sh.weight",
    "backbone.IN.weight": "purifier.norm.weight",
    "unused.copy": None,
}


def test_compare_sums_terms_as_they_enter_the_total() -> None:
    there, here = steps()
    there.weights["unused.copy"] = there.moved["unused.copy"] = 1.0
    rows = compare("idkl", 2, there, here, NAMES.__getitem__)
    found = {row.name: (row.released, row.ours) for row in rows}
    assert {row.step for row in rows} == {2}
    assert found["hard triplets"] == (3, 3)
    assert found["L_e"] == (1, 1)
    assert found["classes: CSA and its part of MDR"] == (0.5, 0.5)
    assert found["total"] == (5.5, 5.5)
    # Neither side has them: RegDB.
    assert "graphs: TGSA and its part of MDR" not in found
    assert found["norm, heads"] == (3, 3)
    assert found["norm, running statistics"] == (2, 2)
    assert found["norm, rest"] == (4, 4)
    assert first_difference(rows, 1e-9) is None


def test_compare_names_what_differs() -> None:
    there, here = steps(moved={**steps()[1].moved, "purifier.norm.weight": 0.5})
    first = first_difference(compare("idkl", 0, there, here, NAMES.__getitem__), 1e-9)
    assert first is not None
    assert (first.name, first.released, first.ours) == ("change since the start, rest", 0.4, 0.5)
    rows = compare("idkl", 0, there, here, NAMES.__getitem__)
    (most,) = [row for row in rows if row.name.startswith("change") and row.name.endswith("(differs most)")]
    assert most.name == "change since the start, purifier.norm.weight (differs most)"
    # A gradient that one side alone has.
    del here.gradients["heads.sh.weight"]
    rows = compare("idkl", 0, *steps()[:1], here, NAMES.__getitem__)
    assert rows[-1].name == "gradient from the same weights, heads.sh.weight (differs most)"
    assert rows[-1].difference == float("inf")
    # Rounding of a gradient is as large as the whole gradient's.
    there, here = steps()
    there.gradients["classifier.weight"] = here.gradients["heads.sh.weight"] = 1e4
    here.gradients["purifier.norm.weight"] = 1e-12
    rows = compare("idkl", 0, there, here, NAMES.__getitem__)
    assert rows[-1].floor == pytest.approx(1e-2)
    assert first_difference(rows, 1e-9) is None
    # A term that one side alone has.
    there, here = steps()
    here.terms["loss_tgsa"] = 0.5
    rows = compare("idkl", 0, there, here, NAMES.__getitem__)
    assert first_difference(rows, 1e-9) == Row(0, "graphs: TGSA and its part of MDR", 0, 0.5)


def test_kind_of_every_row_is_a_column_of_the_table() -> None:
    there, here = steps()
    rows = [Row(0, "steps of an epoch", 1, 1), *compare("idkl", 0, there, here, NAMES.__getitem__)]
    kinds = [tables._kind(row.name) for row in rows]
    assert kinds == ["epoch", *["loss"] * 5, *["rate"] * 2, "feature", *["weight"] * 8, *["gradient"] * 3]


def test_largest_stays_below_the_limit() -> None:
    asked: list[int] = []

    def peak(identities: int) -> int:
        asked.append(identities)
        return int((1 + 1.5 * identities) * GIB)

    # 1 + 1.5 P, and one identity's share kept free: P = 9 takes 14.5 GiB and is odd.
    assert largest(peak, 12, 16 * GIB) == 8
    assert asked == [2, 4]
    assert largest(peak, 12, 18 * GIB) == 10
    assert largest(peak, 6, 16 * GIB) == 6
    with pytest.raises(BenchmarkError, match=r"two identities takes 4\.0 GiB, and 5\.0 GiB are allowed"):
        largest(peak, 12, 5 * GIB)


def test_epoch_length_of_shipped_configs_is_that_of_the_public_code() -> None:
    lengths = {}
    for method in ("agw", "deen", "mscm", "idkl"):
        cfg = get_cfg()
        cfg.merge_from_file(config_path(REPOSITORIES[method].configs["regdb"]))
        lengths[method] = epoch_length(cfg, "regdb")
    assert lengths == {"agw": 2060 // 32 + 1, "deen": 2060 // 24 + 1, "mscm": 2060 // 24 + 1, "idkl": 412 // 6}


def test_engine_calls_its_handlers_in_ignites_order() -> None:
    said: list[Any] = []
    engine = Engine(lambda engine, batch: said.append((engine.state.epoch, engine.state.iteration, batch)))
    for event in Events:
        engine.add_event_handler(event, lambda engine, event: said.append(event), event)
    engine.run(["a", "b"], max_epochs=2)
    step = [Events.ITERATION_STARTED, ..., Events.ITERATION_COMPLETED]
    epoch = [Events.EPOCH_STARTED, *step, *step, Events.EPOCH_COMPLETED]
    assert [... if isinstance(one, tuple) else one for one in said] == [
        Events.STARTED, *epoch, *epoch, Events.COMPLETED
    ]  # fmt: skip
    assert [one for one in said if isinstance(one, tuple)] == [(1, 1, "a"), (1, 2, "b"), (2, 3, "a"), (2, 4, "b")]


def test_trials_are_the_same_in_both_forms() -> None:
    case = next(case for case in scoring.CASES["idkl"] if case.protocol == "sysu/official/all/10shot")
    permutations = scoring._permutations()
    whole = scoring.images(case, 0)
    for trial, (query, gallery) in enumerate(scoring.trials(case)):
        assert len(gallery.ids) == scoring.IDENTITIES * 4 * 10
        assert set(query.cams) == {3, 6}
        # As IDKL's code looks images up: by names made of the permutation's numbers.
        named = {
            f"root/cam{camera}/{identity:04d}/{number:04d}.jpg"
            for camera in (1, 2, 4, 5)
            for identity in range(1, scoring.IDENTITIES + 1)
            for number in permutations[camera - 1, 0][identity - 1, 0][trial][:10]
        }
        rows = [n for n in range(len(whole.ids)) if scoring._path(whole, n) in named]
        np.testing.assert_array_equal(gallery.parts[0], whole.parts[0][rows])


def test_ours_scores_neither_chance_nor_perfect() -> None:
    for case in (scoring.CASES["agw"][0], scoring.CASES["deen"][-1], scoring.CASES["idkl"][5]):
        scores = scoring.ours(case)
        assert 5 < scores["rank-1"] < 97
        assert set(case.protocol.split("/")) & {"sysu", "regdb", "llcm"}
        assert case.protocol in PROTOCOLS


def test_parity_page_has_keys_that_exist() -> None:
    text = (ROOT / "docs" / "parity.md").read_text()
    keys = set(re.findall(r"`([A-Z][A-Z_]*(?:\.[A-Z0-9_]+)+)\b", text))
    assert len(keys) > 50
    cfg = get_cfg()
    for key in keys:
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]
    # Protocols, too.
    assert set(re.findall(r"\b((?:sysu|regdb|llcm)/[\w/]+)", text.partition("## Options")[2])) <= set(PROTOCOLS)


def test_apart_is_infinite_for_nan_and_for_nothing_in_common() -> None:
    assert scoring.apart({"mAP": 1.0, "rank-1": 5.0}, {"mAP": 1.5, "rank-1": 5.25, "mINP": 9.0}) == 0.5
    assert scoring.apart({"mAP": float("nan")}, {"mAP": 1.0}) == float("inf")
    assert scoring.apart({"mAP": 1.0}, {"rank-1": 1.0}) == float("inf")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "nothing to do: --steps is 0"),
        (["--tolerance", "nan"], "--tolerance: must be at least 0, got nan"),
        (["--json", "broken.json"], "'broken.json' exists and is not a report of this script"),
    ],
)
def test_parity_refuses_before_it_measures(tmp_path: Path, words: list[str], message: str) -> None:
    repository = REPOSITORIES["agw"]
    for mark, text in repository.marks.items():
        (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mark).write_text(text)
    (tmp_path / "broken.json").write_text("{")
    script = str(ROOT / "tools" / "benchmarks" / "parity.py")
    ran = python(script, "AGW", "--official", str(tmp_path), *words, cwd=tmp_path)
    assert ran.returncode
    assert message in ran.stderr


def test_commit_of_an_archive_inside_another_checkout_is_unknown(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path)]
    (tmp_path / "ours.py").write_text("x = 1\n")
    for words in (["init", "-q"], ["add", "ours.py"], ["commit", "-q", "-m", "ours"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "model.py").write_text("x = 2\n")
    assert re.fullmatch("[0-9a-f]{40}", commit_of(tmp_path))
    assert commit_of(tmp_path / "archive") == "unknown"
