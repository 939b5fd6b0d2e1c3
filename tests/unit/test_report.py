"""What the page of a run says, and that nothing in it can do anything."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool

from report import __main__ as command
from report import changes, page, runs, store, timeline
from report.record import settle
from testbed.paths import CLONE
from tests.support.ledger_runs import BEGAN, events, result, spooled, uuid

HOSTILE = "<script>alert(1)</script>"
QUOTED = "\"><img src=x onerror='alert(2)'>"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def page_of(tmp_path, *told, run=None):
    """Return the page of a run after recording runs."""
    for one in told:
        spooled(tmp_path / "ledger", one)
    settle(tmp_path / "ledger")
    out = page.report(tmp_path / "ledger" / spool.DATABASE, tmp_path / "page.html", run)
    return out.read_text(encoding="utf-8")


def words_of(text):
    """Return the text that a page shows."""
    return " ".join(" ".join(Elements(text.partition("</style>")[2].rpartition("<script>")[0]).text).split())


def test_the_page_says_what_happened(tmp_path):
    text = words_of(page_of(tmp_path, events(10, failing="gpu002")))
    assert "1 failed, of 10 hosts" in text
    assert "It does not answer." in text and "CUDA out of memory" in text
    assert "-B=2" in text and "+B=3" in text
    assert "This is the first run of site.yml in the ledger" in text


def test_it_compares_with_the_run_before(tmp_path):
    then, now = events(3), events(4, began=BEGAN + 500)
    for event in now:
        if event["event"] == "result":
            event["changed"] = False
    for counts in now[-1]["hosts"].values():
        counts["changed"] = 0
    text = words_of(page_of(tmp_path, then, now))
    assert "Nothing changed, on 4 hosts" in text
    assert "New in this run: gpu004." in text
    assert "Runtime | Write the settings 1 –" in text


def test_what_is_alike_is_told_once(tmp_path):
    page_of(tmp_path, events(100))
    store.opened(tmp_path / "ledger" / spool.DATABASE)
    run = runs.read(runs.chosen(None))
    groups = changes.grouped(run, ("changed",))
    assert len(groups) == 5
    # 34 hosts, each with its own path: one variant.
    assert [(len(group["hosts"]), len(group["variants"])) for group in groups] == [(34, 1)] * 5


@pytest.mark.parametrize("hosts", [1, 10, 100])
def test_the_page_stays_small_and_loads_nothing(tmp_path, hosts):
    text = page_of(tmp_path, events(hosts), events(hosts, began=BEGAN + 500))
    assert len(text.encode()) < 1_000_000
    elements = Elements(text).found
    assert not [tag for tag, _attributes in elements if tag in ("img", "iframe", "object", "embed", "base", "form")]
    addresses = [
        attributes[key] for _tag, attributes in elements for key in ("src", "href", "action") if key in attributes
    ]
    assert {address[:1] for address in addresses} == {"#", "d"} and "data:," in addresses
    assert not re.search(
        r"https?:|//[a-z]|url\(|@import", text.partition("</style>")[0] + text.rpartition("<script>")[2]
    )
    assert sum(1 for tag, _attributes in elements if tag == "script") == 1


def test_a_hundred_hosts_are_not_a_hundred_labels(tmp_path):
    page_of(tmp_path, events(100, failing="gpu057"))
    drawn = timeline.timeline(runs.read(runs.chosen(None)))
    shown = [label["host"] for label in drawn["labels"]]
    assert "gpu057" in shown and len(shown) <= 15
    assert drawn["row"] * 100 <= 800
    tops = [label["top"] / 100 * 100 * drawn["row"] for label in drawn["labels"]]
    assert min(later - one for one, later in zip(tops, tops[1:], strict=False)) >= timeline.LABEL - 1
    assert len(drawn["pieces"]) < 1500


def test_what_comes_from_hosts_is_text_and_nothing_else(tmp_path):
    told = events(names=(HOSTILE, QUOTED, "gpu003"))
    bad = {"msg": HOSTILE, "stderr": QUOTED, "subject": HOSTILE, "diff": [{"before": "", "after": HOSTILE + QUOTED}]}
    told[0] |= {"path": f"/x/{QUOTED}", "user": HOSTILE, "controller": QUOTED, "arguments": {"subset": HOSTILE}}
    told[1]["name"] = f"{HOSTILE} | {QUOTED}"
    told[2]["name"] = told[2]["path"] = HOSTILE + QUOTED
    worst = result(uuid(10), HOSTILE, 0, now=BEGAN + 1, place=1, failed=True)
    told.insert(4, worst | {"kept": bad | {"warnings": [HOSTILE], "items": [{"label": QUOTED, **bad}]}})
    state = {"rows": [{"host": HOSTILE, "unit": QUOTED, "state": HOSTILE}], "faults": [QUOTED]}
    told.insert(5, result(uuid(10), QUOTED, 0, now=BEGAN + 1, place=1, failed=False) | {"kept": {"fleet": state}})
    told[2]["action"] = "ansible.builtin.set_fact"
    text = page_of(tmp_path, told)
    elements = Elements(text).found
    assert sum(1 for tag, _attributes in elements if tag == "script") == 1
    assert [name for _tag, attributes in elements for name in attributes if name.startswith("on")] == []
    assert not [tag for tag, _attributes in elements if tag == "img"]
    assert HOSTILE in "".join(Elements(text).text), "it is shown as text"


def test_diffs_of_data_and_of_modules_that_prepare_them():
    lines = changes.lines_of({"before": {"mode": "0600"}, "after": {"mode": "0644"}})
    assert ("del", '-  "mode": "0600"') in lines and ("add", '+  "mode": "0644"') in lines
    assert changes.lines_of({"prepared": "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y"})[1:] == [("del", "-x"), ("add", "+y")]
    many = changes.lines_of({"before": "", "after": "\n".join(map(str, range(1000)))})
    assert len(many) == changes.MOST_LINES + 1 and "more lines" in many[-1][1]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (65, "1 min 05 s"), (3725, "1 h 02 min")],
)
def test_durations_as_people_write_them(seconds, said):
    assert timeline.spoken(seconds) == said


def test_the_state_of_the_fleet_is_of_the_last_run_that_asked(tmp_path):
    row = {"host": "gpu001", "unit": "worker@0", "state": "active", "controller": "leaving", "probe": "good"}
    asked = events(2)
    asked[2]["action"] = "ansible.builtin.set_fact"
    asked[3]["kept"] = {
        "fleet": {"rows": [row, {**row, "host": "gpu002", "state": "failed"}], "faults": ["gpu002 is off."]}
    }
    later = page_of(tmp_path, asked, events(2, began=BEGAN + 500))
    assert "0 of 2 hosts are well" in words_of(later) and "in run 1" in words_of(later) and "gpu002 is off." in later
    assert 'class="fair"' in later and 'class="bad"' in later


def test_a_stopped_run_and_a_run_without_hosts_have_a_page(tmp_path):
    stopped = words_of(page_of(tmp_path, events(2)[:-1]))
    assert "Stopped before its end, on 2 hosts" in stopped and "gpu001 15 5" in stopped
    assert "Nothing changed, on 0 hosts" in words_of(
        page_of(tmp_path, [events(1)[0] | {"at": BEGAN + 900}, *events(0)[-1:]])
    )


def test_a_failure_that_was_rescued_is_none(tmp_path):
    told = events(2, failing="gpu001")
    told[-1]["hosts"]["gpu001"]["failures"] = 0
    text = words_of(page_of(tmp_path, told))
    assert "1 of 2 hosts changed" in text or "2 of 2 hosts changed" in text
    assert "What failed" not in text


def test_of_several_failures_the_last_one_ended_the_host(tmp_path):
    told = events(1, failing="gpu001")
    rescued = result(uuid(10), "gpu001", 0, now=BEGAN + 0.6, place=0, failed=True) | {
        "kept": {"msg": "It was rescued."}
    }
    told.insert(4, rescued)
    text = words_of(page_of(tmp_path, told))
    assert "It does not answer." in text and "It was rescued." not in text


def asked(capsys, *arguments):
    """Return (what it printed, the sentence that it exits with) of the command."""
    try:
        return command.main(list(arguments)), ""
    except SystemExit as ended:
        return capsys.readouterr().out, str(ended.code)


def test_the_command_lists_and_writes(tmp_path, capsys):
    ledger = tmp_path / "ledger"
    spooled(ledger, events(2))
    listed, fault = asked(capsys, "--ledger", str(ledger), "--list")
    assert not fault and "completed" in listed and "2 hosts  site.yml" in listed
    out = tmp_path / "a.html"
    assert asked(capsys, "--ledger", str(ledger), "--out", str(out)) == (str(out), "")
    assert out.stat().st_mode & 0o777 == 0o600


def test_it_needs_the_project_s_folder_and_nothing_else(tmp_path):
    spooled(tmp_path / "ledger", events(2))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    wanted = [sys.executable, "-m", "report", "--ledger", str(tmp_path / "ledger"), "--list"]
    ended = subprocess.run(wanted, cwd=CLONE, env=environment, capture_output=True, text=True, check=True)
    assert "site.yml" in ended.stdout and ended.stderr == ""


def test_each_bad_wish_gets_one_sentence(tmp_path, capsys):
    ledger, nowhere = tmp_path / "ledger", tmp_path / "none"
    assert "There is no ledger in" in asked(capsys, "--ledger", str(nowhere))[1]
    assert "The ledger is off" in asked(capsys, "--ledger", "off")[1]
    spooled(ledger, events(2))
    assert asked(capsys, "--ledger", str(ledger), "--run", "7")[1] == "The ledger has no run 7, it has 1."
    assert "can not be written" in asked(capsys, "--ledger", str(ledger), "--out", str(tmp_path / "no" / "p.html"))[1]
    (ledger / spool.DATABASE).write_bytes(b"no database\n" * 1000)
    assert "can not be read: file is not a database" in asked(capsys, "--ledger", str(ledger))[1]
