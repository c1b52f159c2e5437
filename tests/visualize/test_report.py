"""The report, opened and clicked in a real browser."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium
from helpers import SMALL, python, small_cfg
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.visualize import Extraction, rank_trial
from vireid_plugins.visualize.confusions import confusions, hardest
from vireid_plugins.visualize.ranking import RankedTrial
from vireid_plugins.visualize.report import write_report
from vireid_plugins.visualize.report_facts import facts

HARD: dict[str, Any] = {"query": "", "identity": 1, "precision": 0.1, "wrong": [], "match": "", "position": 3}
# The element that is drawn last in the middle of one.
SEEN = """
const box = arguments[0].getBoundingClientRect();
return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
"""
# Words of plots whose boxes leave the plot.
OUTSIDE = """
const plots = [...document.querySelectorAll("section > svg, .pair svg")].filter((svg) => svg.clientWidth > 100);
return plots.flatMap((svg) => {
  const around = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return text.textContent && (box.left < around.left - 1 || box.right > around.right + 1 ||
      box.top < around.top - 1 || box.bottom > around.bottom + 1);
  }).map((text) => text.textContent);
});
"""


@pytest.fixture(scope="module")
def page(tree: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the trained model, as the command line writes it."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    ran = python(
        "tools/report.py", "--config-file", "configs/SYSU/wrim.yml", "--output", str(file), "--queries", "30",
        *SMALL, "OUTPUT_DIR", str(trained), FASTREID_DATASETS=str(tree),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert f"wrote {file}" in ran.stdout
    return file


def test_report_opened_from_disk_works(page: Path, trained: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.set_window_size(1200, 900)
        browser.get(page.as_uri())
        assert browser.title == f"WRIMNet ({trained.name}) on SYSUMM01"
        sections = [node.get_attribute("id") for node in browser.find_elements(By.TAG_NAME, "section")]
        assert sections == [
            *("scores", "cmc", "ranks", "hardest", "distances", "tsne", "training", "config", "environment"),
        ]
        facts = [node.text for node in browser.find_elements(By.CSS_SELECTOR, "#facts dd")]
        assert facts[1].endswith("model_final.pth")
        assert facts[2] == sha256_of(trained / "model_final.pth")
        assert facts[3:5] == ["1", "0"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", facts[7])
        # Nothing that is drawn leaves its plot, labels of axes included.
        outside = browser.execute_script(OUTSIDE)
        assert outside == []
        rows = browser.find_elements(By.CSS_SELECTOR, "#scores tr")
        assert rows[1].text.startswith("sysu/official/all/1shot")
        assert len(rows) == 5
        # Rank lists: pages and filters.
        where = browser.find_element(By.ID, "page")
        assert where.text == "page 1 of 4, 30 queries"
        assert len(browser.find_elements(By.CSS_SELECTOR, "#rows .ranked")) == 8
        first = browser.find_element(By.CSS_SELECTOR, ".ranked img").get_attribute("alt")
        assert not browser.find_element(By.ID, "back").is_enabled()
        browser.find_element(By.ID, "next").click()
        assert where.text.startswith("page 2 of 4")
        assert browser.find_element(By.CSS_SELECTOR, ".ranked img").get_attribute("alt") != first
        select = Select(browser.find_element(By.ID, "filter"))
        select.select_by_value("wrong")
        said = next(option.text for option in select.options if option.get_attribute("value") == "wrong")
        count = int(said.split("(")[1].rstrip(")"))
        assert where.text.endswith(f"{count} queries")
        assert where.text.startswith("page 1")
        for row in browser.find_elements(By.CSS_SELECTOR, "#rows .ranked"):
            seen = row.find_elements(By.CSS_SELECTOR, ".right, .wrong")
            assert seen[0].get_attribute("class") == "wrong"
        select.select_by_value("right")
        for row in browser.find_elements(By.CSS_SELECTOR, "#rows .ranked"):
            assert row.find_elements(By.CSS_SELECTOR, ".right, .wrong")[0].get_attribute("class") == "right"
        # The first match is counted in images, as they are seen, and in identities, as the protocol counts.
        for row in browser.find_elements(By.CSS_SELECTOR, "#rows .ranked"):
            assert "first match: image 1, rank 1" in row.text.replace("\n", " ")
        # The hardest queries are in order, next to a match and what they were mistaken for.
        hard = browser.find_elements(By.CSS_SELECTOR, "#hardest > .ranked")
        assert len(hard) == 12
        shares = [int(re.search(r"AP (\d+) %", row.text)[1]) for row in hard]
        assert shares == sorted(shares)
        assert all(row.find_elements(By.CSS_SELECTOR, ".right") for row in hard)
        assert re.search(r"\d+ taken for \d+: \d+ of \d+ queries", browser.find_element(By.CLASS_NAME, "confused").text)
        # Every picture is in the file, and nothing is fetched.
        assert browser.execute_script("return [...document.images].filter((image) => !image.naturalWidth).length") == 0
        assert browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)") == []
        # t-SNE answers to the pointer.
        point = browser.find_element(By.CSS_SELECTOR, "#tsne .point")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
        ActionChains(browser).move_to_element(point).perform()
        tip = browser.find_element(By.ID, "tip")
        assert tip.is_displayed()
        # Another point may lie on it.
        seen = browser.execute_script(SEEN, point)
        assert seen.get_attribute("class") == "point"
        assert seen.get_attribute("data-path") in tip.text
        assert tip.find_element(By.TAG_NAME, "img").size["height"] == 128
        browser.find_element(By.CSS_SELECTOR, "#config summary").click()
        assert "META_ARCHITECTURE: WRIMNet" in browser.find_element(By.CSS_SELECTOR, "#config pre").text
        errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert not errors


def test_report_on_a_phone_can_be_read(page: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        )
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert browser.execute_script("return window.innerWidth") == 360
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('button, select')].map((n) => n.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 32
        assert browser.execute_script(OUTSIDE) == []


def test_write_report_with_scripts_in_its_data_never_runs_them(page: Path, tmp_path: Path) -> None:
    evil = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    lists = {"query": evil, "gallery": [evil], "right": [False], "hidden": [False], "distances": [0.5], "first": 3,
             "precision": 0.1}  # fmt: skip
    report = {
        "title": evil,
        "facts": [[evil, evil]],
        "counted": {"first": evil, "distinct": True},
        "hardest": [HARD | {"query": evil, "match": evil, "wrong": [{"image": evil, "identity": evil}]}],
        "confusions": [{"identity": evil, "taken_for": evil, "times": 1, "total": 2, "images": [evil, evil]}],
        "scores": {"headers": [evil], "rows": [[evil]], "note": evil},
        "cmc": [{"name": evil, "values": [10, 20]}],
        "lists": {"protocol": evil, "queries": [lists]},
        "distances": [
            {"name": evil, "edges": [0, 2], "intra": [1], "inter": [1], "intra_mean": 0, "inter_mean": 1, "overlap": 1}
        ],
        "tsne": [{"x": n, "y": n, "identity": evil, "modality": n, "path": evil} for n in (0, 1)],
        "training": [{"name": evil, "curves": [{"name": evil, "points": [[0, 1], [1, 2]]}]}],
        "images": {evil: "data:,"},
        "config": evil,
        "environment": evil,
    }
    write_report(report, tmp_path / "evil.html")
    with chromium(tmp_path / "profile") as browser:
        browser.get((tmp_path / "evil.html").as_uri())
        assert browser.execute_script("return window.hacked") is None
        assert browser.find_element(By.TAG_NAME, "h1").text == evil
        assert len(browser.find_elements(By.TAG_NAME, "script")) == 2


def test_write_report_with_numbers_that_are_not_finite_is_json_for_every_parser(tmp_path: Path) -> None:
    report = {"title": "t", "distances": [{"intra_mean": float("nan"), "inter": [float("inf"), 1.0]}]}
    write_report(report, tmp_path / "nan.html")
    text = (tmp_path / "nan.html").read_text(encoding="utf-8")
    assert '{"intra_mean": null, "inter": [null, 1.0]}' in text


def test_report_of_numbers_that_are_not_finite_is_still_read(page: Path, tmp_path: Path) -> None:
    """A foreign metrics.json may hold NaN, and so may features."""
    text = page.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    report = json.loads(text[start : text.index("</script>", start)])
    report["distances"][0] |= {"intra_mean": float("nan"), "overlap": float("inf")}
    write_report(report, tmp_path / "nan.html")
    with chromium(tmp_path / "profile") as browser:
        browser.get((tmp_path / "nan.html").as_uri())
        assert "overlap ? %" in browser.find_element(By.ID, "distances").text
        assert browser.find_elements(By.CSS_SELECTOR, "#environment pre")
        assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def trial(tree: Path) -> RankedTrial:
    """A trial whose features know the identities now and then."""
    dataset = SYSUMM01(root=str(tree))
    items = [*dataset.query, *dataset.gallery]
    ids = np.array([item[1] for item in items])
    features = np.eye(ids.max() + 1)[ids] + 0.6 * np.random.default_rng(0).standard_normal((len(ids), ids.max() + 1))
    protocol = PROTOCOLS["sysu/official/all/1shot"]
    found = Extraction(EvaluationPlan(dataset, [protocol]), features, [dataset.relative(item) for item in items])
    return rank_trial(found, protocol)


def ranked(trial: RankedTrial, row: int) -> list[int]:
    """Gallery images that a query is shown, from the nearest on."""
    columns = [n for n in range(len(trial.gallery_paths)) if not trial.hidden[row, n]]
    return sorted(columns, key=lambda n: trial.distance[row, n])


def test_hardest_are_the_queries_with_the_lowest_precision(trial: RankedTrial) -> None:
    found = hardest(trial, 5, most=2)
    precisions = sorted(trial.precision[row] for row in trial.matched)
    assert [trial.precision[one.row] for one in found] == precisions[:5]
    for one in found:
        order = ranked(trial, one.row)
        ids = [int(trial.gallery.ids[n]) for n in order]
        at = ids.index(int(trial.query.ids[one.row]))
        assert (one.match, one.position) == (order[at], at + 1)
        assert [int(trial.gallery.ids[n]) for n in one.wrong] == list(dict.fromkeys(ids[:at]))[:2]
    assert len(hardest(trial, 10_000)) == len(trial.matched)


def test_confusions_count_what_is_at_rank_one(trial: RankedTrial) -> None:
    counts: dict[tuple[int, int], int] = {}
    for row in trial.matched:
        pair = int(trial.query.ids[row]), int(trial.gallery.ids[ranked(trial, row)[0]])
        if pair[0] != pair[1]:
            counts[pair] = counts.get(pair, 0) + 1
    found = confusions(trial, most=1000)
    assert {(one.identity, one.taken_for): one.times for one in found} == counts
    assert [one.times for one in found] == sorted(counts.values(), reverse=True)
    assert confusions(trial, most=3) == found[:3]
    for one in found:
        assert one.total == sum(trial.query.ids[row] == one.identity for row in trial.matched)
        assert trial.query.ids[one.row] == one.identity
        assert one.column == ranked(trial, one.row)[0]


def test_facts_name_the_commit_only_of_the_weights_that_are_shown(
    trial: RankedTrial, trained: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "model_final.pth"
    shutil.copy(trained / weights.name, weights)
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", str(weights))
    for digest, commits in ((sha256_of(weights), ["abc1234"]), ("0" * 64, [])):
        source = {"sha256": digest, "commit": "abc1234"}
        (tmp_path / "evaluation.json").write_text(json.dumps({"provenance": source}))
        rows = dict(facts(cfg, trial.found))
        assert [value for name, value in rows.items() if name.startswith("commit")] == commits
        assert (rows["epoch"], rows["seed"], rows["run"]) == ("1", "0", f"WRIMNet ({tmp_path.name})")
    for content in ("[1]", '{"provenance": 3}', "{"):
        (tmp_path / "evaluation.json").write_text(content)
        assert "commit of the scores" not in dict(facts(cfg, trial.found))
