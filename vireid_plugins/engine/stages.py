"""The stages of a run: all are checked before the first is trained, and those that are over are not trained again."""

from collections.abc import Sequence
from pathlib import Path

from fastreid.config import CfgNode

from vireid_plugins.config.stages import stages_of
from vireid_plugins.data.loaders import check_train_loader
from vireid_plugins.engine.hooks.clustering import check_clusters
from vireid_plugins.engine.requirements import require_data, require_run
from vireid_plugins.engine.run_files import FINAL, LAST
from vireid_plugins.errors import ConfigError


def checked_stages(cfg: CfgNode) -> list[CfgNode]:
    """Return the configuration of every training of a run, as `stages_of`.

    A wrong value of a later stage is found here, and not after the stages before it, which may take days.

    Args:
        cfg: the configuration of the run.

    Raises:
        ConfigError: a stage has a wrong key or value.
        DataError: a later stage has other data than the first, which are missing or malformed.
    """
    stages = stages_of(cfg)
    for number, stage in enumerate(stages, start=1):
        if len(stages) > 1:
            try:
                check_train_loader(stage)
                check_clusters(stage)
                # What the first one needs is built and read at once.
                if number > 1:
                    require_run(stage)
                    if any(stage[part] != stages[0][part] for part in ("DATASETS", "TEST", "DATALOADER")):
                        require_data([stage])
            except ConfigError as error:
                raise ConfigError(f"{error} (stage {number} of USL.STAGES)") from None
    return stages


def left_behind(stages: Sequence[CfgNode], number: int) -> bool:
    """Return whether a resumed run is through with a stage: a later one has been saved, whose start stays what it was.

    Args:
        stages: all stages.
        number: the stage, counted from 0.
    """
    return any(
        (Path(stage.OUTPUT_DIR) / f"{name}.pth").is_file() for stage in stages[number + 1 :] for name in (LAST, FINAL)
    )
