import json
from pathlib import Path

from learning_parts.curves import curves


def test_curves_are_losses_and_clusters_by_stage(tmp_path: Path) -> None:
    lines = {
        tmp_path / "stage1": [{"loss_visible": 2.00001, "lr": 0.1}, {"loss_visible": 1.5, "purity_visible": 0.5}],
        tmp_path: [{"loss_cross": 1.0, "clusters_infrared": 7.0, "total_loss": 1.0, "sysu/x/mAP": 9.0}],
    }
    for folder, records in lines.items():
        folder.mkdir(exist_ok=True)
        (folder / "metrics.json").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    assert curves(tmp_path) == {
        "stage1": {"losses": {"loss_visible": [2.0, 1.5]}, "clusters": {"purity_visible": [0.5]}, "scores": {}},
        "last": {"losses": {"loss_cross": [1.0]}, "clusters": {"clusters_infrared": [7.0]}, "scores": {"mAP": [9.0]}},
    }
