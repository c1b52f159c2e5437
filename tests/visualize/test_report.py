"""The report, opened and clicked in a real browser."""

from pathlib import Path

import pytest
from browser import chromium
from helpers import SMALL, python
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from vireid_plugins.visualize.report import write_report


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


def test_report_opened_from_disk_works(page: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.set_window_size(1200, 900)
        browser.get(page.as_uri())
        assert browser.title == "WRIMNet on SYSUMM01"
        sections = [node.get_attribute("id") for node in browser.find_elements(By.TAG_NAME, "section")]
        assert sections == ["scores", "cmc", "ranks", "distances", "tsne", "training", "config", "environment"]
        rows = browser.find_elements(By.CSS_SELECTOR, "#scores tr")
        assert rows[1].text.startswith("sysu/official/all/1shot")
        assert len(rows) == 5
        # Rank lists: pages and filters.
        where = browser.find_element(By.ID, "page")
        assert where.text == "page 1 of 4, 30 queries"
        assert len(browser.find_elements(By.CSS_SELECTOR, ".ranked")) == 8
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
        for row in browser.find_elements(By.CSS_SELECTOR, ".ranked"):
            seen = row.find_elements(By.CSS_SELECTOR, ".right, .wrong")
            assert seen[0].get_attribute("class") == "wrong"
        select.select_by_value("right")
        for row in browser.find_elements(By.CSS_SELECTOR, ".ranked"):
            assert row.find_elements(By.CSS_SELECTOR, ".right, .wrong")[0].get_attribute("class") == "right"
        # Every picture is in the file, and nothing is fetched.
        assert browser.execute_script("return [...document.images].filter((image) => !image.naturalWidth).length") == 0
        assert browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)") == []
        # t-SNE answers to the pointer.
        point = browser.find_element(By.CSS_SELECTOR, "#tsne .point")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
        ActionChains(browser).move_to_element(point).perform()
        tip = browser.find_element(By.ID, "tip")
        assert tip.is_displayed()
        assert point.get_attribute("data-path") in tip.text
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


def test_write_report_with_scripts_in_its_data_never_runs_them(page: Path, tmp_path: Path) -> None:
    evil = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    lists = {"query": evil, "gallery": [evil], "right": [False], "hidden": [False], "distances": [0.5], "first": 3,
             "precision": 0.1}  # fmt: skip
    report = {
        "title": evil,
        "subtitle": evil,
        "scores": {"headers": [evil], "rows": [[evil]], "note": evil},
        "cmc": [{"name": evil, "values": [10, 20]}],
        "lists": {"protocol": evil, "queries": [lists]},
        "distances": [{"name": evil, "edges": [0, 2], "intra": [1], "inter": [1], "intra_mean": 0, "inter_mean": 1}],
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
