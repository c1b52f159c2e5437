"""The page in a browser, at the width of a desk and of a phone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from galleries import Colors, paint
from helpers import HANG
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from service import at_port, picture, started, until

from vireid_plugins.search.marks import Mark, name_of_query, read_marks
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.tracks import index_tracks

TOKEN = "a-token-of-some-length"
# What can be used and has no name for a screen reader, or is not as large as a finger.
NAMELESS = """return [...document.querySelectorAll("button, input, select, textarea, a")].filter((one) =>
    !one.textContent.trim() && !one.getAttribute("aria-label") && !(one.labels && one.labels.length))
    .map((one) => one.outerHTML)"""
SMALL = """return [...document.querySelectorAll("button, select, textarea, .button")].filter((one) => {
    const { width, height } = one.getBoundingClientRect(); return height && (height < 44 || width < 44); })
    .map((one) => one.outerHTML)"""
UNLOADED = "return [...document.images].filter((one) => !one.hidden && !(one.complete && one.naturalWidth)).length"


@pytest.fixture
def address(serve: Callable[..., Any]) -> Iterator[Callable[..., str]]:
    """A function that starts a service at a port and returns its address."""
    with ExitStack() as stack:
        yield lambda token="": stack.enter_context(at_port(serve(token).app))


def find(browser: Any, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def wait(browser: Any, true: Callable[[Any], Any]) -> Any:
    return WebDriverWait(browser, HANG).until(true)


def hits(browser: Any) -> list[Any]:
    return list(browser.find_elements(By.CSS_SELECTOR, "#hits li"))


def shown(browser: Any, count: int) -> bool:
    return len(hits(browser)) == count and not browser.execute_script(UNLOADED)


def test_page_finds_and_marks(address: Callable[..., str], index: Path, tmp_path: Path) -> None:
    (tmp_path / "query.png").write_bytes(picture((190, 50, 80)))
    url = address()
    with chromium(tmp_path / "profile") as browser:
        browser.set_window_size(1200, 900)
        browser.get(url)
        wait(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#images img")) == 6)
        assert find(browser, "#about").text.startswith("6 images: 4 visible, 2 infrared, from 2024-05-31 10:00:00 UTC")
        assert not find(browser, "#go").is_enabled()
        # An upload, with the keyboard alone from here on.
        find(browser, "#file").send_keys(str(tmp_path / "query.png"))
        find(browser, "input[value=infrared]").send_keys(Keys.SPACE)
        find(browser, "#go").send_keys(Keys.ENTER)
        wait(browser, lambda b: shown(b, 2))
        assert find(browser, "#heading").text == "2 of 2 images"
        assert browser.switch_to.active_element == find(browser, "#heading")
        # A picture of one color may as well be a tinted infrared image.
        assert find(browser, "#guess").text == "visible, unsure: choose the modality above"
        assert "g/night/" in hits(browser)[0].text.replace("\u200b", "")
        # Marks, and one taken back.
        right, wrong, like = hits(browser)[0].find_elements(By.TAG_NAME, "button")
        right.send_keys(Keys.ENTER)
        until(lambda: read_marks(index))
        name, file = name_of_query((tmp_path / "query.png").read_bytes(), ".png"), str(tmp_path / "g/night/4.png")
        wait(browser, lambda b: find(b, "#status").text == "Marked; the query image is kept with it.")
        assert right.get_attribute("aria-pressed") == "true"
        wrong.send_keys(Keys.ENTER)
        until(lambda: read_marks(index) == [Mark(name, file, False)])
        wrong.send_keys(Keys.ENTER)
        until(lambda: read_marks(index) == [])
        wait(browser, lambda b: find(b, "#status").text == "The mark is taken back.")
        # An image of the index, by its result and in the list below, with conditions.
        find(browser, "input[value=both]").send_keys(Keys.SPACE)
        like.send_keys(Keys.ENTER)
        wait(browser, lambda b: shown(b, 5))
        assert find(browser, "#named").text.replace("\u200b", "") == "g/night/4.png"
        # Back to the query before, and on again.
        browser.back()
        wait(browser, lambda b: find(b, "#named").text == "query.png" and shown(b, 6))
        browser.forward()
        wait(browser, lambda b: find(b, "#named").text.replace("\u200b", "") == "g/night/4.png" and shown(b, 5))
        find(browser, "#filters summary").click()
        find(browser, "#where").send_keys("height>=170")
        find(browser, "#camera").send_keys("3")
        wait(browser, lambda b: find(b, "#place").text == "1 to 1 of 1")
        assert find(browser, "#conditions").text == "(2 conditions)"
        find(browser, "#go").send_keys(Keys.ENTER)
        wait(browser, lambda b: shown(b, 1))
        find(browser, "#where").send_keys(Keys.END, "\nheight")
        find(browser, "#go").send_keys(Keys.ENTER)
        wait(browser, lambda b: "'height' is no condition" in find(b, "#status").text)
        assert browser.execute_script(NAMELESS) == []
        asked = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
        assert asked
        assert all(one.startswith((url, f"blob:{url}")) for one in asked)
        # That of the wrong condition.
        severe = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert all("400 (Bad Request)" in line for line in severe)
        browser.get(f"{url}docs")
        wait(browser, lambda b: len(b.find_elements(By.TAG_NAME, "section")) == 8)
        assert "POST /api/search" in find(browser, "#paths").text


def test_page_on_a_phone_asks_for_the_token_and_can_be_used(address: Callable[..., str], tmp_path: Path) -> None:
    url = address(TOKEN)
    with chromium(tmp_path / "profile") as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        )
        browser.get(url)
        wait(browser, lambda b: find(b, "#login").is_displayed())
        assert not find(browser, "#main").is_displayed()
        find(browser, "#token").send_keys("something else", Keys.ENTER)
        wait(browser, lambda b: "a token is needed" in find(b, "#about").text)
        find(browser, "#token").clear()
        find(browser, "#token").send_keys(TOKEN, Keys.ENTER)
        wait(browser, lambda b: find(b, "#main").is_displayed())
        wait(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#images img")) == 6)
        find(browser, "#images button").click()
        wait(browser, lambda b: shown(b, 5))
        find(browser, "#filters summary").click()
        assert browser.execute_script("return window.innerWidth") == 390
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        assert browser.execute_script(SMALL) == []
        # Two results side by side.
        assert [round(one.rect["y"] - hits(browser)[0].rect["y"]) == 0 for one in hits(browser)[:3]] == [
            True,
            True,
            False,
        ]
        # It stays in the tab.
        browser.refresh()
        wait(browser, lambda b: find(b, "#main").is_displayed())


@pytest.mark.slow
def test_page_shows_the_images_of_a_track_and_returns(tmp_path: Path) -> None:
    colors: Any = Colors(tmp_path / "weights.pth")
    paint(tmp_path / "g", "a1.png", "a2.png", "b1.png")
    (tmp_path / "g/crops.csv").write_text("file,camera,track\na1.png,1,t1\na2.png,1,t1\nb1.png,1,t2\n")
    facts = Metadata.read(tmp_path / "g/crops.csv")
    index_tracks(colors, tmp_path / "g", tmp_path / "index", "visible", how="mean", metadata=facts)
    with (
        ExitStack() as stack,
        at_port(started(tmp_path / "index", colors, stack)().app) as url,
        chromium(tmp_path / "profile") as browser,
    ):
        browser.get(url)
        wait(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#images img")) == 2)
        assert find(browser, "#about").text.startswith("2 tracks and single images, made of 3 images: 2 visible")
        find(browser, "#images li:last-child button").click()
        wait(browser, lambda b: shown(b, 1))
        assert find(browser, "#heading").text == "1 of 2 tracks and images"
        find(browser, ".frames").click()
        wait(browser, lambda b: find(b, "#place").text == "1 to 2 of 2")
        assert find(browser, "#all").text == "Images of the track t1, by time"
        find(browser, "#return").click()
        assert browser.switch_to.active_element == find(browser, ".frames")
        # An image of the track, of which the index has no entry, is a query.
        find(browser, "#images li:last-child button").click()
        wait(browser, lambda b: find(b, "#named").text == "g/a2.png" and shown(b, 1))
        find(browser, "#whole").click()
        wait(browser, lambda b: find(b, "#all").text == "Images of the index")
        assert not find(browser, "#return").is_displayed()
