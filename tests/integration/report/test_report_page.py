"""Real runs over 1 and 10 hosts, and 100 from their events, as pages in a headless Chromium."""

import base64
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool

from report.page import report
from report.record import settle
from tests.support.browser import TOO_PALE
from tests.support.ledger_runs import BEGAN, events, inventory, play, spooled

HERE = Path(__file__).parent
SECTIONS = {"timeline", "changes", "time", "fleet", "hosts"}


def real(folder, hosts):
    """Return the ledger of two real runs. The last of several hosts is out of reach, the second run has a failure."""
    named = inventory(folder / "hosts", hosts)
    if hosts > 1:
        last = f"gpu{hosts:03d}"
        lost = f"{last} ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"
        named.write_text(named.read_text().replace(last, lost, 1))
    for number in (1, 2):
        extra = ("-e", f"scratch={folder}", "-e", f"round={number}")
        ended = play(folder / "ledger", HERE / "run.yml", "-i", str(named), "--diff", *extra)
        assert ended.returncode == (0 if hosts == 1 else 4), ended.stdout + ended.stderr
    return folder / "ledger"


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return {number of hosts: the page of the last run}."""
    written = {}
    for hosts in (1, 10, 100):
        folder = tmp_path_factory.mktemp(f"hosts{hosts}")
        ledger = folder / "ledger"
        if hosts < 100:
            real(folder, hosts)
        else:
            spooled(ledger, events(hosts))
            spooled(ledger, events(hosts, began=BEGAN + 500, failing="gpu057"))
        settle(ledger)
        written[hosts] = report(ledger / spool.DATABASE, folder / "page.html")
    return written


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hosts", [1, 10, 100])
def test_the_page_is_whole_and_loads_nothing(browser, pages, hosts, width, dark):
    browser.show(pages[hosts], width, dark)
    assert browser.told("Runtime.consoleAPICalled") == browser.told("Runtime.exceptionThrown") == []
    assert [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")] == []
    asked = [request["request"]["url"] for request in browser.told("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [pages[hosts].as_uri()]
    assert set(browser.value("[...document.querySelectorAll('section')].map(one => one.id)")) >= SECTIONS
    assert browser.value("document.querySelectorAll('svg.lines path[class]:not(.tick) > title').length") >= hosts
    # Nothing sticks out at the side, and no text has too little contrast.
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(TOO_PALE) == []
    picture = base64.b64decode(browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
    assert len(picture) > 20_000


def test_the_colours_follow_the_system(browser, pages):
    colours = []
    for dark in (False, True):
        browser.show(pages[1], dark=dark)
        colours.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(251, 250, 248)", "rgb(20, 23, 26)"]


def test_failures_changes_and_the_fleet_of_a_real_run(browser, pages):
    browser.show(pages[10])
    shown = browser.value("document.body.innerText")
    assert "1 failed and 1 not reached, of 10 hosts" in shown
    assert "CUDA out of memory" in shown and "Connection refused" in shown
    assert "gpu010 was not reached." in shown and "Paris (8 tokens" in shown
    failed = browser.value("[...document.querySelectorAll('.names .failed')].map(one => one.textContent)")
    assert failed == ["gpu002"]
    inside = "[...document.querySelectorAll('.diff .add')].map(one => one.textContent.trim())"
    assert "+LIMIT_WORKER_CONCURRENCY=8" in browser.value(inside)


def test_it_is_used_by_keyboard_alone(browser, pages):
    browser.show(pages[10])
    browser.press("Tab")
    assert browser.value("document.activeElement.textContent") == "Skip to the run"
    for _ in range(60):
        browser.press("Tab")
        if browser.value("document.activeElement.matches('details.change > summary')"):
            break
    assert browser.value("document.activeElement.parentElement.open") is False
    browser.press("Enter", "\r")
    assert browser.value("document.activeElement.parentElement.open") is True
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_the_buttons_and_the_field_do_what_they_say(browser, pages):
    browser.show(pages[100])
    browser.value("document.querySelector('button[data-fold]').click()")
    assert browser.value("[...document.querySelectorAll('details.change')].every(one => one.open)") is True
    field = "document.querySelector('input[data-find]')"
    browser.value(f"{field}.value = 'GPU057'; {field}.dispatchEvent(new Event('input'))")
    assert browser.value("document.querySelectorAll('#hosts-table tbody tr:not([hidden])').length") == 1


def test_everything_has_a_name_for_a_screen_reader(browser, pages):
    browser.show(pages[100])
    assert browser.value("document.title").startswith("1 failed, of 100 hosts")
    assert browser.value("document.querySelectorAll('h1').length") == 1
    nameless = (
        "[...document.querySelectorAll('svg, section, table')].filter(one => !(one.getAttribute('aria-label') || "
    )
    nameless += "one.getAttribute('aria-labelledby') || one.querySelector('caption'))).length"
    assert browser.value(nameless) == 0


def test_it_can_be_printed(browser, pages):
    browser.show(pages[10])
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 20_000
