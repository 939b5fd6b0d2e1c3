"""The page /status in a headless Chromium: whole on a telephone and a desk, light and dark; and behind its own key."""

import base64
import os
from pathlib import Path

import pytest

from services.exporter.glance import glance
from services.exporter.page import page
from tests.support import watched_fleet
from tests.support.browser import TOO_PALE

FLEETS = {"well": watched_fleet.well, "hurt": watched_fleet.hurt}
TOO_WIDE = """
[...document.querySelectorAll(".card, .gpu, .tile, .faults li")]
  .filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)
"""
URL = "https://ctl01/status"


def looked_at(browser, path, name, width, dark):
    """Show a page, assert that it is whole, and keep its picture where PICTURES names a folder."""
    browser.show(path, width, dark)
    assert browser.told("Runtime.exceptionThrown") == []
    assert [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")] == []
    asked = [request["request"]["url"] for request in browser.told("Network.requestWillBeSent")]
    assert asked == [path.as_uri()], "it loads nothing"
    assert browser.value("document.scripts.length") == 0
    assert browser.value("document.documentElement.scrollWidth") <= width, "nothing sticks out at the side"
    assert browser.value(TOO_WIDE) == []
    assert browser.value(TOO_PALE) == []
    picture = base64.b64decode(browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
    assert len(picture) > 20_000
    if os.environ.get("PICTURES"):
        Path(os.environ["PICTURES"], f"{name}-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", sorted(FLEETS))
def test_a_fleet_of_gpus_is_whole_and_loads_nothing(browser, tmp_path, name, width, dark):
    path = tmp_path / "page.html"
    shown = glance("ctl01", FLEETS[name](), watched_fleet.NOW)
    path.write_text(page(shown, "2027-01-15 09:00:00 CET"), encoding="utf-8")
    looked_at(browser, path, name, width, dark)
    assert browser.value("document.querySelectorAll('.gpu').length") == 16
    assert browser.value("document.querySelectorAll('.faults li').length") == len(shown["faults"])


@pytest.fixture(scope="module")
def there(site, tmp_path_factory):
    word = "Basic " + base64.b64encode(f"status:{site.key('status')}".encode()).decode()
    status, headers, text = site.ask(URL, word=word)
    assert status == 200, text
    path = tmp_path_factory.mktemp("status") / "page.html"
    path.write_text(text, encoding="utf-8")
    return path, headers


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_the_real_fleet(browser, there, width):
    path, headers = there
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    looked_at(browser, path, "real", width, False)
    shown = browser.value("document.body.innerText")
    assert "1 of 1 workers serve" in shown and "All is well" in shown and "gpu01" in shown
    assert "worker@0" in shown and "of 5" in shown


@pytest.mark.parametrize("word", ["", "Bearer", "Basic"])
def test_it_wants_its_own_key(site, word):
    """Neither nobody nor a key of the API sees the page, and its key can not ask the API."""
    key = site.key("gateway")
    secret = base64.b64encode(f"person:{key}".encode()).decode() if word == "Basic" else key
    status, headers, text = site.ask(URL, word=f"{word} {secret}" if word else "")
    assert status == 401 and "Basic realm" in headers["WWW-Authenticate"] and "workers serve" not in text
    assert site.ask("https://ctl01/v1/models", word=f"Bearer {site.key('status')}")[0] == 401
    right = f"Bearer {site.key('status')}"
    assert site.ask(URL, word=right)[0] == 200
    assert site.ask(URL, "POST", "{}", right)[0] == 405 and site.ask(f"{URL}?a=1", word=right)[0] == 400
    assert site.ask("https://ctl01/metrics", word=right)[0] in (401, 404)
