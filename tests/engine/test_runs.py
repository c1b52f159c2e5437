from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_cfg
from PIL import Image

import vireid_plugins
from vireid_plugins.engine.runs import (
    find_weights,
    load_run,
    run_of,
    run_title,
    scored_config,
    stored_config,
    title_of_training,
)
from vireid_plugins.errors import ConfigError, DataError


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A run's folder with links to the checkpoints of `trained`: its last as `model_final` and as `model_best`."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("model_final", "model_best", "model_0000"):
        (run / f"{name}.pth").symlink_to(trained / "model_final.pth")
    return run


def test_find_weights_of_a_folder_takes_the_final_checkpoint(folder: Path) -> None:
    assert find_weights(str(folder)) == folder / "model_final.pth"
    assert find_weights(f"{folder}@best") == folder / "model_best.pth"
    assert find_weights(f"{folder}@model_0000") == find_weights(f"{folder}@model_0000.pth") == folder / "model_0000.pth"
    assert find_weights(str(folder / "model_best.pth")) == folder / "model_best.pth"


def test_find_weights_of_an_unfinished_run_takes_the_newest_that_can_be_loaded(
    folder: Path, log: pytest.LogCaptureFixture
) -> None:
    (folder / "model_final.pth").unlink()
    torn = folder / "model_0001.pth"
    torn.write_bytes((folder / "model_0000.pth").read_bytes()[:5000])
    (folder / "last_checkpoint").write_text("model_0001.pth")
    assert find_weights(str(folder)) == folder / "model_0000.pth"  # and not the best, though that is as old
    assert "model_0001.pth" in log.text
    for file in folder.glob("*.pth"):
        file.unlink()
    torn.write_bytes(b"torn")
    with pytest.raises(DataError, match=r"no checkpoint of the run .* can be loaded: .*model_0001"):
        find_weights(str(folder))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("missing", "'missing' does not exist; a run is its folder"),
        ("{folder}@last", "has no last.pth; available: .*run@model_0000, .*run@model_best"),
        ("{empty}", "is not a run: it contains no checkpoint"),
        ("$NO_SUCH_VARIABLE/x", "RUN: .*NO_SUCH_VARIABLE"),
        ("", "RUN: an empty path; name the folder of a run"),
    ],
)
def test_find_weights_of_what_is_no_run_says_what_would_be(folder: Path, tmp_path: Path, run: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=said):
        find_weights(run.format(folder=folder, empty=tmp_path / "empty"))


def test_load_run_of_a_torn_checkpoint_names_the_others(folder: Path) -> None:
    # A new file: that of the run is shared with other tests.
    content = (folder / "model_final.pth").read_bytes()
    (folder / "model_final.pth").unlink()
    (folder / "model_final.pth").write_bytes(content[:1000])
    with pytest.raises(DataError, match=rf"model_final\.pth.*other checkpoints of the run: .*{folder}@model_best"):
        load_run(str(folder))


def test_load_run_returns_the_stored_configuration(trained: Path, folder: Path) -> None:
    cfg = load_run(str(folder), ["TEST.IMS_PER_BATCH", "7"])
    then = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained))
    assert (str(folder / "model_final.pth"), 7) == (cfg.MODEL.WEIGHTS, cfg.TEST.IMS_PER_BATCH)
    cfg.MODEL.WEIGHTS, cfg.TEST.IMS_PER_BATCH = then.MODEL.WEIGHTS, then.TEST.IMS_PER_BATCH
    cfg.MODEL.HEADS.NUM_CLASSES = then.MODEL.HEADS.NUM_CLASSES
    assert cfg == then
    assert run_title(cfg) == f"WRIMNet ({trained.name})"


def test_titles_say_the_run_and_the_number_of_a_stage(tmp_path: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(tmp_path / "people"))
    assert title_of_training(cfg) == run_title(cfg) == "WRIMNet (people)"
    for name in ("stage1", "stage2", "stages"):
        (tmp_path / "people" / name).mkdir(parents=True)
    # The last stage is the run.
    assert (run_title(cfg), title_of_training(cfg)) == ("WRIMNet (people)", "WRIMNet (people, stage 3)")
    cfg.MODEL.WEIGHTS = str(tmp_path / "people" / "stage2" / "model_final.pth")
    assert title_of_training(cfg) == run_title(cfg) == "WRIMNet (people, stage 2)"


def test_load_run_without_a_stored_configuration_names_the_flag(trained: Path, tmp_path: Path) -> None:
    weights = torch.load(trained / "model_final.pth", weights_only=True)["model"]
    torch.save({"model": weights}, tmp_path / "bare.pth")
    with pytest.raises(ConfigError, match=r"bare\.pth' stores no configuration; .*--config-file FILE"):
        load_run(str(tmp_path / "bare.pth"))
    cfg = load_run(str(tmp_path / "bare.pth"), config_file=str(trained / "config.yaml"))
    assert str(tmp_path / "bare.pth") == cfg.MODEL.WEIGHTS


def test_load_run_of_another_device_falls_back_to_the_cpu_without_mixed_precision(
    trained: Path, tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = torch.load(trained / "model_final.pth", weights_only=True)
    then = stored_config(checkpoint["vireid"]["config"], "the checkpoint")
    then.merge_from_list(["MODEL.DEVICE", "cuda:3", "SOLVER.AMP.ENABLED", "True"])
    checkpoint["vireid"]["config"] = then.dump()
    torch.save(checkpoint, tmp_path / "gpu.pth")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_run(str(tmp_path / "gpu.pth"))
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cpu", False)
    assert "was trained on cuda:3, which is not available here" in log.text
    with pytest.raises(ConfigError, match="--device: torch finds no CUDA device"):
        load_run(str(tmp_path / "gpu.pth"), device="cuda")


def write_patterns(folder: Path) -> str:
    """A configuration of the run that names its protocols by a pattern."""
    cfg = load_run(str(folder), ["TEST.PROTOCOLS", "sysu/agw/*"])
    (folder / "patterns.yml").write_text(cfg.dump())
    return str(folder / "patterns.yml")


def test_scored_config_on_other_sets_takes_their_protocols_and_a_folder_of_its_own(folder: Path) -> None:
    cfg = scored_config(str(folder), on=["RegDB", "LLCM"])
    assert list(cfg.DATASETS.TESTS) == ["RegDB", "LLCM"]
    assert {name.split("/")[0] for name in cfg.TEST.PROTOCOLS} == {"regdb", "llcm"}
    assert str(folder / "evaluated" / "model_final-RegDB-LLCM") == cfg.OUTPUT_DIR
    own = scored_config(f"{folder}@best", ["OUTPUT_DIR", "mine"])
    assert (own.OUTPUT_DIR, own.TEST.PROTOCOLS) == ("mine", load_run(str(folder)).TEST.PROTOCOLS)
    agw = scored_config(str(folder), ["SOLVER.MAX_EPOCH=1"], write_patterns(folder), on=["SYSUMM01"])
    assert agw.TEST.PROTOCOLS == ["sysu/agw/all/1shot", "sysu/agw/indoor/1shot"]
    with pytest.raises(ConfigError, match="Nowhere"):
        scored_config(str(folder), on=["Nowhere"])
    with pytest.raises(ConfigError, match=r"unknown value 'REGDB'; .*\(did you mean 'RegDB'\?\)"):
        scored_config(str(folder), on=["REGDB"])
    with pytest.raises(ConfigError, match=r"TEST\.PROTOCOLS: unknown value 'typo/"):
        scored_config(str(folder), ["TEST.PROTOCOLS", "typo/*"])


def test_scored_config_with_overrides_replaces_no_earlier_results(folder: Path) -> None:
    def place(*words: str) -> str:
        return Path(scored_config(str(folder), words).OUTPUT_DIR).name

    assert place("MODEL.DEVICE=cpu", "DATALOADER.NUM_WORKERS=1") == "model_final"
    assert place("TEST.METRIC=cosine") == "model_final-TEST.METRIC=cosine"
    assert place("TEST.PROTOCOLS", "sysu/agw/*") == "model_final-TEST.PROTOCOLS=sysu_agw__"
    many = ("TEST.PROTOCOLS=['sysu/agw/all/1shot']", "TEST.FLIP.ENABLED=True")
    names = [place(*many, f"SOLVER.STEPS=[10000,20000,30000,40000,50000,{last}]") for last in (60000, 70000)]
    assert len(set(names)) == 2
    assert max(map(len, names)) < 130


def test_load_run_of_a_missing_plug_in_says_how_to_name_it(folder: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(folder / "model_final.pth", weights_only=True)
    checkpoint["vireid"]["config"] += "\nMINE:\n  WEIGHT: 1.0\n"
    torch.save(checkpoint, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"unknown key 'MINE'.*--plugin FILE\.py"):
        load_run(str(tmp_path / "other.pth"))


def test_load_embeds_files_images_arrays_and_tensors_alike(folder: Path, tree: Path) -> None:
    files = sorted((tree / "SYSU-MM01" / "cam3").rglob("*.jpg"))[:3]
    model = vireid_plugins.load(str(folder))
    features = model.embed(files, modality="infrared")
    images = [Image.open(file).convert("RGB") for file in files]
    arrays = [np.asarray(image) for image in images]
    tensors = [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in arrays]
    assert features.shape == (3, features.shape[1])
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert np.abs(features[0] - features[1]).max() > 1e-3
    for same in (images, arrays, tensors, [tensor / 255 for tensor in tensors], torch.stack(tensors)):
        assert np.array_equal(model.embed(same, modality="infrared"), features)
    assert np.array_equal(model.embed(files[0], "infrared"), model.embed(tensors[0], "infrared"))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(9, 9, 3), r"must be \(3, H, W\).*got \(9, 9, 3\)"),
        (torch.zeros(3, 9, 9) - 1, "values from 0 to 1, got -1 to -1; do not normalize"),
        (torch.full((3, 9, 9), torch.nan), "values from 0 to 1, got nan"),
        (torch.zeros(3, 9, 9, dtype=torch.int64), "must be uint8.* got torch.int64"),
    ],
)
def test_embed_of_a_tensor_that_is_no_picture_says_what_is_wrong(folder: Path, tensor: torch.Tensor, said: str) -> None:
    model = vireid_plugins.load(str(folder))
    with pytest.raises(DataError, match=said):
        model.embed(tensor, modality="visible")


def test_run_of_a_configuration_is_its_weights_or_its_output_folder(trained: Path) -> None:
    config = str(trained / "config.yaml")
    assert run_of(config, ["OUTPUT_DIR", "logs/a", "SEED=3"]) == ("logs/a", ["SEED", "3"])
    assert run_of(config, ["OUTPUT_DIR=out", "MODEL.WEIGHTS=a.pth"])[0] == "a.pth"
    assert str(trained / "evaluated" / "model_final") == scored_config(*run_of(config, []), config).OUTPUT_DIR
    assert scored_config(*run_of(config, ["MODEL.WEIGHTS", str(trained / "model_final.pth"), "OUTPUT_DIR", "out"]),
                         config).OUTPUT_DIR == "out"  # fmt: skip
