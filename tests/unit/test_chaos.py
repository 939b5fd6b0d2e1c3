"""The cost of a fault is counted from records made by hand, and shown as a table."""

import json

import pytest

from testbed.chaos import counting, load, table
from testbed.chaos.faults import FAULTS
from tests.support.sentences import no_faults

BOTH = {"w1": "serving", "w2": "serving"}
API = {"a": True, "b": False}
BEFORE = {"at": 0.0, "workers": BOTH, "apis": API}
MARKS = {"began": 10.0, "lifted": 10.0, "in_flight": 1}


def asked(began, ended, outcome="answered", kind="whole", error=""):
    return {"kind": kind, "began": began, "ended": ended, "outcome": outcome, "error": error}


def look(at, workers=BOTH, apis=API):
    return {"at": at, "workers": workers, "apis": apis}


def test_every_request_is_counted_once_and_a_broken_stream_is_lost():
    records = [asked(8, 9), asked(9, 11, "truncated", "stream"), asked(11, 12, "failed"), asked(13, 14)]
    row = counting.row(records, [look(9), look(11)], BEFORE, MARKS)
    assert (row["sent"], row["answered"], row["failed"], row["truncated"], row["lost"]) == (4, 2, 1, 1, 2)
    assert row["lost_under_way"] == 1 and row["lost_later"] == 0 and row["last_loss"] == 1.0


def test_the_gap_counts_from_the_first_question_and_to_the_last_end():
    assert counting.longest_gap([asked(0, 1), asked(0, 3), asked(3, 9, "failed")]) == 6
    assert counting.longest_gap([asked(0, 7, "failed")]) == 7


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ({"workers": None}, False),
        ({"workers": {"w1": "serving", "w2": "down"}}, False),
        ({"workers": {"w1": "serving"}}, False),
        ({"apis": {"a": False, "b": True}}, False),
        ({"apis": {"a": True, "b": True}, "workers": {**BOTH, "w3": "joining"}}, True),
    ],
)
def test_whole_is_what_there_was_before(broken, whole):
    assert counting.is_whole({**look(1), **broken}, BEFORE) is whole


def test_recovery_waits_for_the_last_dip_and_for_an_answer_after_it():
    down = {"w1": "down", "w2": "serving"}
    looks = [look(9), look(11, down), look(12), look(13, down), look(15), look(16)]
    assert counting.recovery([asked(9, 15.5), asked(12, 14)], looks, BEFORE, MARKS) is None  # sent before, ended before
    assert counting.recovery([asked(14, 17), asked(12, 16)], looks, BEFORE, MARKS) == 6
    assert counting.recovery([asked(14, 17)], [*looks, look(18, None)], BEFORE, MARKS) is None


def test_recovery_counts_from_when_the_fault_was_lifted_also_when_nobody_noticed_it():
    marks = {**MARKS, "lifted": 30.0}
    assert counting.recovery([asked(12, 14), asked(29, 31)], [look(9), look(31)], BEFORE, marks) == 1


def test_reasons_say_how_many_when_and_what():
    gone = [asked(8, 10.5, "failed", error="refused"), asked(12, 12.1, "failed", error="refused")]
    assert counting.reasons([asked(1, 2), *gone], 10) == ["2 whole (-2.0…+0.5 s, +2.0…+2.1 s): refused"]


def counted(records, again=12.0):
    return counting.row(records, [look(9), look(again)], BEFORE, MARKS)


@pytest.mark.parametrize(
    ("goal", "records", "words"),
    [
        ("none", [asked(11, 13)], []),
        ("none", [asked(9, 11, "failed"), asked(11, 13)], ["1 requests were lost, wanted none."]),
        ("own", [asked(9, 11, "failed"), asked(11, 13)], []),
        (
            "own",
            [asked(9, 11, "failed")] * 2 + [asked(11, 13)],
            ["2 requests were lost, and the worker was writing 1."],
        ),
        ("own", [asked(12.1, 13, "failed"), asked(11, 13)], ["1 requests were lost that began 2 s after it."]),
        ("recovers", [asked(12.1, 13, "failed")] * 9 + [asked(11, 13)], []),
        ("recovers", [asked(11, 13, "failed")], ["It had not recovered after 5 s."]),
        ("recovers", [asked(11, 19)], ["It recovered after 9 s, wanted within 5 s."]),
    ],
)
def test_a_goal_is_missed_in_words(goal, records, words):
    assert counting.missed(counted(records), goal, 5) == words


def test_what_a_client_meets():
    assert load.outcome("Paris.", "stop") == ("answered", "")
    assert load.outcome("Par", None)[0] == "truncated"
    assert load.outcome(" ", "stop")[0] == "failed"
    assert load.outcome("**NETWORK ERROR DUE TO HIGH TRAFFIC.**", "stop")[0] == "failed"


def test_the_table_is_written_between_its_marks_and_says_what_was_missed(tmp_path):
    row = counted([asked(9, 11, "failed", error="refused |\n"), asked(11, 13)])
    row |= {"name": "n", "title": "a fault", "goal": "no request is lost", "load": 2.34, "said": ""}
    row |= {"when": "2026-01-01", "under": "commit abc", "missed": counting.missed(row, "none", 60)}
    document = tmp_path / "CHAOS.md"
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.put(document, json.loads(json.dumps([row])))
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| a fault | 2 | 1 | 1 | 1 | -1.0 s | 4.0 s | 3.0 s | 2.3 | no request is lost: **missed** |" in text
    assert "- a fault: 1 whole (-1.0…+1.0 s): refused |" in text and "- 2026-01-01, commit abc: n." in text
    table.put(document, [row])
    assert document.read_text() == text
    (tmp_path / "bare.md").write_text("no marks")
    with pytest.raises(SystemExit, match="has no lines"):
        table.put(tmp_path / "bare.md", [row])


def test_faults_have_names_of_their_own_and_goals_that_are_known():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    goals = sorted(counting.GOALS)
    wrong = [f"{one.name}: goal is {one.goal!r}, wanted one of {goals}" for one in FAULTS if one.goal not in goals]
    wrong += [f"{one.name}: deadline is {one.deadline}, wanted seconds" for one in FAULTS if one.deadline <= 0]
    no_faults(wrong, of="testbed/chaos/faults/__init__.py")
