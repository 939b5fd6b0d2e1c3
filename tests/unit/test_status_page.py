"""The page /status says what the metrics say, each fault as one sentence, and nothing that a host says becomes HTML."""

import pytest

from services.exporter.glance import glance, quantile
from services.exporter.page import page, seconds_of, size_of
from tests.support import watched_fleet


def shown(fleet):
    return glance("ctl01", fleet, watched_fleet.NOW)


def test_a_fleet_in_which_all_is_well():
    said = shown(watched_fleet.well())
    assert (said["serving"], len(said["workers"]), said["faults"]) == (16, 16, [])
    assert (said["queue"], said["limit"], said["requests"], said["failed"]) == (24, 80, 18235, 4)
    assert (said["first"], said["rate"]) == (1, 30)
    assert said["gateways"] == [{"name": "gw01", "up": True, "seconds": 0.31, "days": 201, "faults": []}]
    text = page(said, "now")
    assert "16 of 16 workers serve" in text and "All is well" in text and "201 days" in text


@pytest.mark.parametrize(
    "sentence",
    [
        "The gateway gw01 does not answer a question.",
        "The certificate of gw01 ends in 5 days.",
        "worker@5 on gpu01 is not registered.",
        "GPU 5 of gpu01 does not answer.",
        "worker@1 on gpu02 is hung.",
        "worker@6 on gpu02 has lost 2 slots.",
        "The disk of models, runtime, staging on gpu02 is nearly full.",
        "worker@4 on gpu02 runs with something else than is written for it.",
        "gpu03 gives no metrics.",
        "api@1 does not answer.",
    ],
)
def test_each_fault_is_a_sentence(sentence):
    said = shown(watched_fleet.hurt())
    assert said["faults"].count(sentence) == 1
    assert f"<li>{sentence}</li>" in page(said, "now")


def test_a_controller_that_does_not_answer_is_said_first():
    fleet = watched_fleet.well()
    fleet["ctl01"] = {"fastchat_controller_up": [({}, 0.0)]}
    said = shown(fleet)
    assert said["faults"][0] == "The controller does not answer." and said["serving"] == 0


def test_what_a_host_says_is_text():
    fleet = watched_fleet.well()
    fleet["gpu01"]["fastchat_worker_planned"][0][0]["model"] = "<script>alert(1)</script>"
    fleet["gpu01"]["fastchat_release_info"] = [({"model": "<img src=x>", "release": "&"}, 1.0)]
    text = page(shown(fleet), "<b>")
    assert "<script" not in text and "<img" not in text and "<b>now" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_quantile_is_the_bound_below_which_a_share_lies():
    rows = [({"le": "1"}, 1.0), ({"le": "2"}, 3.0), ({"le": "+Inf"}, 4.0), ({"le": "1"}, 0.0), ({"le": "+Inf"}, 0.0)]
    assert quantile(rows, 0.5) == 2 and quantile(rows, 0.25) == 1 and quantile(rows, 1) == float("inf")
    assert quantile([], 0.5) is None and quantile([({"le": "+Inf"}, 0.0)], 0.5) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (5 * 1024**3, "5 GiB"), (1.5 * 1024**4, "1.5 TiB")],
)
def test_bytes_as_a_person_reads_them(value, said):
    assert size_of(value) == said


@pytest.mark.parametrize(("value", "said"), [(None, "–"), (0.09, "90 ms"), (1, "1.0 s"), (61.23, "61.2 s")])
def test_seconds_as_a_person_reads_them(value, said):
    assert seconds_of(value) == said
