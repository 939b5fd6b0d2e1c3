"""The words and lines of a run's view: sizes, hosts in few letters, changes, failures, the result."""

import threading

import pytest
from ansible.plugins.loader import PluginLoader
from ansible.template import Templar
from ansible_collections.fastchat.fleet.plugins.module_utils.view import lines, progress, state, watch, words
from ansible_collections.fastchat.fleet.plugins.module_utils.view.changes import names_of
from ansible_collections.fastchat.fleet.plugins.module_utils.view.region import region
from ansible_collections.fastchat.fleet.plugins.module_utils.view.screen import redraws

HUNDRED = [f"gpu{number:03d}" for number in range(1, 101)]


def text(told):
    return "\n".join(lines.plain(line) for line in told)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_999, "1.0 MB"), (84_000_000, "84.0 MB"), (13.5e9, "13.5 GB")],
)
def test_sizes_are_said_in_few_digits(number, said):
    assert words.size(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (4021, "1 h 07 min")]
)
def test_durations_are_said_as_people_do(seconds, said):
    assert words.duration(seconds) == said


def foot(run, now):
    return region(run, now, 100, 30).renderables[-1].plain.strip()


def test_the_view_says_when_a_run_usually_ends_where_earlier_runs_are_known():
    run = state.Run(usual=state.usual_seconds({state.USUAL: "100.0"}))
    state.enter(run, "Preflight | Ask", ["a"], 0.0)
    state.enter(run, "Runtime | Build", ["a"], 20.0)
    state.begin(run, "a", "Build it", 20.0)
    assert foot(run, 30.0) == "Runtime, 10 s, the run usually ends in 1 min 10 s"
    assert foot(run, 130.0) == "Runtime, 1 min 50 s"  # it takes longer than usual
    unknown = state.Run(usual=state.usual_seconds({state.USUAL: "soon"}))
    state.enter(unknown, "Runtime | Build", ["a"], 0.0)
    state.begin(unknown, "a", "Build it", 0.0)
    assert foot(unknown, 1.0) == "Runtime, 1 s"


def test_many_hosts_are_few_letters():
    assert words.folded(["ctl01", "gpu01", "gpu02", "gpu03", "gpu07"]) == "ctl01, gpu01-gpu03, gpu07"
    assert words.folded(["gpu09", "gpu010", "a1b", "a2b", "a3c"]) == "gpu09, gpu010, a1b, a2b, a3c"
    assert words.group_of(HUNDRED, HUNDRED, 24) == "all 100 hosts"
    assert words.group_of(HUNDRED[:50], HUNDRED, 24) == "gpu001-gpu050"
    assert words.group_of(HUNDRED[::2], HUNDRED, 24) == "50 hosts"
    assert words.group_of(["gpu001"], ["gpu001"], 24) == "gpu001"
    assert words.group_of(["gpu001", "gpu002"], ["gpu001", "gpu002"], 24) == "both hosts"


@pytest.mark.parametrize(
    ("result", "labels", "names"),
    [
        ({"changed": True, "dest": "/etc/a", "invocation": {"module_args": {"dest": "/x"}}}, [], ["/etc/a"]),
        ({"invocation": {"module_args": {"name": "api.service", "state": "started"}}}, [], ["api.service"]),
        ({"invocation": {"module_args": {"name": ["git", "git-lfs"]}}}, [], ["git", "git-lfs"]),
        ({"changes": ["/etc/a", {"path": "/etc/b", "action": "mode"}], "dest": "/c"}, [], ["/etc/a", "/etc/b (mode)"]),
        ({"results": [{"changed": True, "path": "/a"}, {"changed": False, "path": "/b"}]}, ["a"], ["/a"]),
        ({"results": [{"changed": True}, {"changed": True}]}, ["one", "two"], ["one", "two"]),
        ({"results": ["Installed: git"], "name": "git"}, [], ["git"]),
        ({"cmd": ["true"], "rc": 0}, [], []),
        ({"censored": "hidden", "changed": True}, [], []),
    ],
)  # fmt: skip
def test_a_change_names_its_file_or_unit(result, labels, names):
    assert names_of(result, labels) == names


def test_a_long_sentence_of_a_message_is_broken_below_itself_on_a_terminal_and_not_in_a_pipe():
    sentence = "gpu01: the plan needs 2342 MiB of the host's memory, and a host of this kind has 1024."
    said = f"host   stack\ngpu01  cpu\n{sentence}"
    shown = text(lines.message_lines(["gpu01"], "The fleet", said, ["gpu01"], 60)).splitlines()
    assert shown[1:] == [
        "    host   stack",
        "    gpu01  cpu",
        "    gpu01: the plan needs 2342 MiB of the host's memory, and",
        "      a host of this kind has 1024.",
    ]
    assert text(lines.message_lines(["gpu01"], "The fleet", said, ["gpu01"], 0)).endswith(sentence)


def test_hosts_with_the_same_news_are_told_together_in_the_play_s_order():
    run = state.Run(hosts=["gpu01", "gpu02", "gpu03"])
    for host, names in (("gpu03", ["/a"]), ("gpu01", ["/a"]), ("gpu02", ["/b"])):
        run.news.append(state.News("change", host, "Copy", (names, ""), repr(names), 0.0))
    told = [line for one in state.grouped(run) for line in lines.news_lines(*one, run.hosts, 0)]
    assert text(told) == "  gpu01, gpu03   Copy: /a\n  gpu02          Copy: /b"
    assert run.news == []


def test_long_lists_are_cut_and_names_that_do_not_fit_stand_below_each_other():
    names = [f"/etc/fastchat/worker-{number}.env" for number in range(9)]
    assert text(lines.change_lines(["a"], "Write", names, ["a"], 0)).endswith("worker-5.env, and 3 more")
    narrow = text(lines.change_lines(["a"], "Write", names, ["a"], 60)).splitlines()
    assert len(narrow) == 8 and max(map(len, narrow)) <= 60
    assert narrow[1].index("/etc") == narrow[2].index("/etc")


def test_a_failure_is_laid_out_with_the_journal_s_last_lines_and_nothing_twice():
    result = {
        "msg": "It did not answer.",
        "journal": [f"line {number}" for number in range(30)],
        "stderr": "did not answer",
    }
    news = state.News("failure", "gpu01", "Wait", lines.said_by(result), "", 0.0)
    told = text(lines.news_lines(["gpu01"], news, ["gpu01"], 60))
    assert told.startswith("  gpu01          Failed: Wait\n                 It did not answer.\n")
    assert "The journal ends with:" in told and "line 29" in told and "line 17" not in told
    assert "stderr" not in told


def test_in_a_pipe_no_sentence_is_broken():
    sentence = "word " * 60
    news = state.News("failure", "gpu01", "Wait", lines.said_by({"msg": sentence}), "", 0.0)
    assert sentence.strip() in text(lines.news_lines(["gpu01"], news, ["gpu01"], 0))
    narrow = text(lines.news_lines(["gpu01"], news, ["gpu01"], 60)).splitlines()
    assert max(map(len, narrow)) <= 60 and len(narrow) > 5


def test_the_result_of_a_hundred_hosts_is_a_few_lines():
    stats = {host: {"changed": 0, "failed": 0, "unreachable": 0} for host in HUNDRED}
    stats["gpu007"] = {"changed": 3, "failed": 1, "unreachable": 0}
    told = text(lines.result_lines(stats, {"Runtime": 62.0, "Verify": 3.0}, 100)).splitlines()
    assert told[1:] == [
        "Result",
        "  99 hosts       changed=0",
        "  gpu007         changed=3   failed=1",
        "  time           1 min 05 s: Runtime 1 min 02 s, Verify 3 s",
    ]
    assert "--limit gpu007" in text(lines.next_lines(["gpu007"], 100))
    assert "gpu001-gpu100" in text(lines.next_lines(HUNDRED, 100))


def test_warnings_are_told_once_with_their_hosts():
    run = state.Run()
    for host in ("gpu01", "gpu02", "gpu02"):
        state.warn(run, "Python 2.7 is\n old.", host)
    state.warn(run, "No inventory.")
    told = text(lines.warning_lines(run.warnings, ["gpu01", "gpu02"], 0)).splitlines()
    assert told[1:] == ["Warnings", "  Python 2.7 is old. (both hosts)", "  No inventory."]


def test_a_long_diff_is_cut_unless_it_is_asked_for():
    diff = "--- before: a\n+++ after: a\n" + "".join(f"+line {number}\n" for number in range(100))
    assert len(lines.diff_lines(diff)) == lines.DIFF_SHOWN + 1
    assert len(lines.diff_lines(diff, everything=True)) == 102


def test_figures_are_said_and_nonsense_of_a_host_is_nothing():
    figures = {"bytes_done": 3.1e9, "bytes_total": 13.5e9, "bytes_per_second": 84e6, "seconds_remaining": 124}
    assert progress.cells_of(figures) == ("3.1 of 13.5 GB", "84.0 MB/s", "2 min 04 s left")
    assert progress.cells_of({**figures, "bytes_done": 84e6})[0] == "84.0 MB of 13.5 GB"
    assert progress.cells_of({**figures, "bytes_per_second": 0, "seconds_remaining": None})[2] == "waiting"
    for nonsense in (
        {},
        {"bytes_done": "many"},
        {"bytes_done": -1},
        {"bytes_done": True},
        {"bytes_done": float("nan")},
    ):
        assert progress.cells_of(nonsense) == ("", "", "")


def test_reports_of_works_that_died_are_not_read_and_garbage_is_none():
    report = '{"bytes_done": 5, "at": 990}\n' + progress.MARK
    assert progress.parsed("1000\n" + report) == {"bytes_done": 5, "at": 990}
    assert progress.parsed("1100\n" + report) == {}
    nonsense = '{"bytes_done": "many", "bytes_total": [9], "bytes_per_second": null, "at": 990}\n' + progress.MARK
    assert progress.parsed("1000\n" + nonsense) == {"at": 990}
    for garbage in ("", "Password:", "1000\n[1]" + progress.MARK, "1000\n{" + progress.MARK):
        assert progress.parsed(garbage) == {}


def test_a_pipe_hears_of_long_tasks_once_in_a_while():
    run = state.Run(hosts=["gpu01", "gpu02", "gpu03"])
    for host in run.hosts[:2]:
        state.begin(run, host, "Fetch", 0.0)
    assert watch.long_lines(run, 59.0, 60) == []
    assert text(watch.long_lines(run, 61.0, 60)) == "  gpu01, gpu02   Fetch: still at it, 1 min 01 s so far"
    assert watch.long_lines(run, 62.0, 60) == []


class Screen:
    """A stdout that is a terminal, or none."""

    def __init__(self, terminal):
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "device"),
    [
        (True, {"TERM": "xterm"}, "-"),
        (True, {"TERM": "dumb"}, ""),
        (True, {}, ""),
        (True, {"TERM": "xterm", "CI": "true"}, ""),
        (False, {"TERM": "xterm"}, ""),
        (True, {"TERM": "xterm", "AWX_ISOLATED_DATA_DIR": "/x"}, ""),
        (True, {"TERM": "xterm", "AWX_ISOLATED_DATA_DIR": "/x", "FASTCHAT_TERMINAL": "/dev/pts/7"}, "/dev/pts/7"),
    ],
)
def test_only_a_terminal_that_a_person_looks_at_is_drawn_on(terminal, environ, device):
    assert redraws(Screen(terminal), environ) == device


def test_no_thread_of_the_view_loads_filters_while_ansible_does(monkeypatch):
    """Half a filter plugin is what a second thread finds; so all are there before the first host is asked."""
    watch.Asker(threading.RLock(), 1.0)

    def load(_self, name, _path):
        raise AssertionError(f"{name} is loaded late")

    monkeypatch.setattr(PluginLoader, "_load_module_source", load)
    templar = Templar(loader=None, variables={"hosts": ["b", "a"]})
    assert templar.template("{{ hosts | sort | first | regex_replace('a', 'c') }}") == "c"
