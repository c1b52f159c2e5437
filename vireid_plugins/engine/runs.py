"""A trained run as an argument: find its checkpoint, and load the configuration that is stored in it."""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.config import get_cfg
from vireid_plugins.config.check import check_config, require_device
from vireid_plugins.config.load import merged_config
from vireid_plugins.config.model_selection import choose_on_validation
from vireid_plugins.config.overrides import paired
from vireid_plugins.config.path_keys import expanded
from vireid_plugins.config.stages import earlier_stage
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.run_files import BEST, FINAL, newest_first
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation.protocols import PROTOCOLS, require_protocols

logger = logging.getLogger("fastreid." + __name__)
# Folder below a run's that `scored_config` writes to, so that the results of the training stay.
EVALUATED = "evaluated"
# Overrides that change no score, and how much of the others the name of that folder shows.
_ANYWHERE = ("OUTPUT_DIR", "MODEL.DEVICE", "DATALOADER.", "TEST.IMS_PER_BATCH")
LONGEST = 100


def find_weights(run: str) -> Path:
    """Return the checkpoint that an argument RUN stands for.

    Args:
        run: a checkpoint; or a run's folder, for its `model_final.pth` or else its newest checkpoint that can be
            loaded; or `FOLDER@best` for `model_best.pth`, and `FOLDER@last` for another by its name.

    Raises:
        ConfigError: there is no such file, or no checkpoint in the folder.
        DataError: none of the folder's checkpoints can be loaded.
    """
    run = expanded(run, "RUN")
    if not run:
        raise ConfigError("RUN: an empty path; name the folder of a run, FOLDER@best or a checkpoint")
    path = Path(run)
    if path.is_dir():
        return _newest(path)
    if path.exists() or path.is_symlink():
        return path
    folder, at, name = run.rpartition("@")
    if at and Path(folder).is_dir():
        stem = (BEST if name == "best" else name).removesuffix(".pth")
        file = Path(folder) / f"{stem}.pth"
        if file.is_file():
            return file
        raise ConfigError(
            f"'{run}': '{folder}' has no {stem}.pth; available: {', '.join(_runs_in(Path(folder))) or 'none'}"
        )
    raise ConfigError(
        f"'{run}' does not exist; a run is its folder (logs/SYSU/wrim), FOLDER@best, or one of its checkpoints"
    )


def load_run(run: str, overrides: Sequence[str] = (), config_file: str = "", device: str = "") -> CfgNode:
    """Return the checked configuration of a trained run, with `MODEL.WEIGHTS` naming its checkpoint.

    It is the configuration that the checkpoint stores, or `config_file`, then the overrides. Where the recorded device
    is not available it is the CPU, without mixed precision, which is a matter of training.

    Args:
        run: see `find_weights`.
        overrides: `KEY`, `value`, `KEY`, `value`, ... as on a command line.
        config_file: see `load_config`; by default the configuration that the checkpoint stores.
        device: device of the model.

    Raises:
        ConfigError: there is no such run, it stores no configuration, or a key or the device is wrong.
        DataError: the checkpoint cannot be read.
    """
    file = find_weights(run)
    cfg = merged_config(config_file) if config_file else _stored(file)
    if device:
        require_device("--device", device)
    use_device(cfg, device or usable(cfg.MODEL.DEVICE, f"'{run}' was trained"))
    cfg.MODEL.WEIGHTS = str(file)
    cfg.merge_from_list(list(map(str, overrides)))
    choose_on_validation(cfg)
    check_config(cfg)
    return cfg


def scored_config(run: str, overrides: Sequence[str] = (), config_file: str = "", on: Sequence[str] = ()) -> CfgNode:
    """Return the configuration that scores a run: `load_run`, other test sets, and a folder of its own for the results.

    Args:
        run: see `load_run`.
        overrides: see `load_run`.
        config_file: see `load_run`.
        on: data sets to score on; by default those of the configuration. Of each set, the configuration's protocols
            are scored, or all of the set's if the configuration names none of them.

    Raises:
        ConfigError: see `load_run`; or no protocol scores a data set.
        DataError: see `load_run`.
    """
    given = paired(overrides)
    cfg = load_run(run, overrides, config_file)
    require_protocols(cfg.TEST.PROTOCOLS)
    file = Path(cfg.MODEL.WEIGHTS)
    if on:
        cfg.DATASETS.TESTS = tuple(on)
        if "TEST.PROTOCOLS" not in given:
            cfg.TEST.PROTOCOLS = [name for dataset in on for name in _protocols(cfg, dataset)]
        cfg.TEST.EXPECTED_RESULTS = []
    if "OUTPUT_DIR" not in given:
        cfg.OUTPUT_DIR = str(file.parent / EVALUATED / _evaluated_name(file.stem, on, given))
    check_config(cfg)
    return cfg


def _evaluated_name(stem: str, on: Sequence[str], overrides: Mapping[str, Any]) -> str:
    """Return the name of the folder for the results of a checkpoint: other overrides never replace earlier results."""
    words = [f"{key}={value}" for key, value in overrides.items() if not key.startswith(_ANYWHERE)]
    changed = re.sub(r"[^\w.=,+-]", "_", ",".join(words))
    if len(changed) > LONGEST:
        changed = f"{changed[:LONGEST]}-{hashlib.sha256(','.join(words).encode()).hexdigest()[:8]}"
    return "-".join(filter(None, [stem, *on, changed]))


def run_of(config_file: str, overrides: Sequence[str]) -> tuple[str, list[str]]:
    """Return the run that a configuration names: `MODEL.WEIGHTS`, or its output folder; and the other overrides.

    `OUTPUT_DIR` is then where the run is, and not where its scores go.

    Raises:
        ConfigError: a key or the type of a value is wrong.
    """
    cfg = merged_config(config_file, overrides)
    others = {key: value for key, value in paired(overrides).items() if cfg.MODEL.WEIGHTS or key != "OUTPUT_DIR"}
    return cfg.MODEL.WEIGHTS or cfg.OUTPUT_DIR, [word for pair in others.items() for word in pair]


def run_title(cfg: CfgNode) -> str:
    """Return the name of a run for figures and tables: its method and its folder, such as `DEEN (sysu_seed1)`.

    A stage before the last of a run is called by the run's folder and its number.
    """
    folder = run_folder(cfg)
    number = earlier_stage(folder)
    name = f"{folder.parent.name}, stage {number}" if number else folder.name
    return f"{cfg.MODEL.META_ARCHITECTURE} ({name})"


def title_of_training(cfg: CfgNode) -> str:
    """Return `run_title`, with the number of the stage also for the last training of a run of several."""
    folder = run_folder(cfg)
    before = [earlier_stage(one) for one in folder.glob("stage*") if one.is_dir()]
    title = run_title(cfg)
    return title if not any(before) else f"{title[:-1]}, stage {max(before) + 1})"


def run_folder(cfg: CfgNode) -> Path:
    """Return the folder of a run: that of `MODEL.WEIGHTS`, or the output folder."""
    return (Path(cfg.MODEL.WEIGHTS).parent if cfg.MODEL.WEIGHTS else Path(cfg.OUTPUT_DIR)).absolute()


def stored_config(text: str, where: str) -> CfgNode:
    """Return the configuration that a checkpoint or a gallery stores.

    Raises:
        ConfigError: it cannot be parsed, or a key is unknown, as when a plug-in package is missing.
    """
    cfg = get_cfg()
    cfg.merge_from_text(text, where)
    if "WEIGHTS_AVERAGED" not in text:
        # Earlier commits used averaged weights only if the configuration averaged too.
        cfg.MODEL.WEIGHTS_AVERAGED = cfg.SOLVER.EMA_DECAY > 0
    return cfg


def usable(device: str, what: str) -> str:
    """Return a recorded device if it can be used here, else the CPU.

    Args:
        device: the device.
        what: what was done on it, for the log, such as "the gallery was made".
    """
    try:
        require_device("MODEL.DEVICE", device)
    except ConfigError:
        logger.info("%s on %s, which is not available here; using the CPU", what, device)
        return "cpu"
    return device


def use_device(cfg: CfgNode, device: str) -> None:
    """Set the device of a trained model; on a CPU without mixed precision, which is a matter of training."""
    cfg.MODEL.DEVICE = device
    if device == "cpu":
        cfg.SOLVER.AMP.ENABLED = False


def _newest(folder: Path) -> Path:
    final = folder / f"{FINAL}.pth"
    if final.is_file():
        return final
    broken: list[str] = []
    # The last epoch is reported, and not the best, however new.
    for file in sorted(newest_first(folder), key=lambda file: file.stem == BEST):
        try:
            load_checkpoint(file)
        except DataError as error:
            broken.append(str(error))
            logger.warning("%s; trying an earlier checkpoint", error)
            continue
        return file
    if broken:
        raise DataError(f"no checkpoint of the run '{folder}' can be loaded: {'; '.join(broken)}")
    raise ConfigError(f"'{folder}' is not a run: it contains no checkpoint (*.pth)")


def _runs_in(folder: Path) -> list[str]:
    """Return how the checkpoints of a folder are called as RUN."""
    return sorted(f"{folder}@{file.stem}" for file in folder.glob("*.pth"))


def _stored(file: Path) -> CfgNode:
    try:
        facts = load_checkpoint(file).get("vireid", {})
    except DataError as error:
        others = [name for name in _runs_in(file.parent) if name != f"{file.parent}@{file.stem}"]
        raise DataError(f"{error}{'; other checkpoints of the run: ' if others else ''}{', '.join(others)}") from None
    text = facts.get("config")
    if not isinstance(text, str):
        raise ConfigError(
            f"checkpoint '{file}' stores no configuration; name the one that it was trained with: --config-file FILE"
        )
    return stored_config(text, f"the configuration stored in '{file}'")


def _protocols(cfg: CfgNode, dataset: str) -> list[str]:
    """Return the protocols of a data set that the configuration names, or all of the data set's."""
    named = [protocol.name for protocol in require_protocols(cfg.TEST.PROTOCOLS) if protocol.dataset == dataset]
    return named or [protocol.name for protocol in PROTOCOLS.values() if protocol.dataset == dataset]
