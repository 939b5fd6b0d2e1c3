"""A fetch that was cut resumes at its byte, and is retried where that may help."""

import hashlib
import random
import shutil
import time

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import http_client, lfs_batch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch

from tests.support.fetching import LARGE, QUICK, SEED, SMALL, files_below, git_lfs_source, http_source, refusal


@pytest.mark.parametrize("at", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000, 3_000_001])
def test_a_part_is_gone_on_with_at_its_byte(hub, tmp_path, at):
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "a.bin.part").write_bytes(LARGE["a.bin"][:at])
    result = fetch(http_source(hub, ["a.bin"]), str(dest), QUICK)
    assert files_below(dest) == {"a.bin": LARGE["a.bin"]}
    assert result["bytes_fetched"] == 3_000_001 - at
    ranges = [headers.get("Range") for method, _path, headers in hub.seen if method == "GET"]
    assert ranges == ([] if at == 3_000_001 else [f"bytes={at}-" if at else None])


@pytest.mark.parametrize("part", [b"not the beginning", bytes(3_000_001), bytes(4_000_000)])
def test_a_part_that_is_not_the_beginning_is_thrown_away(hub, tmp_path, part):
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "a.bin.part").write_bytes(part)
    fetch(http_source(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(hub, tmp_path):
    hub.faults = [("a.bin", {"cut": 0}), ("a.bin", {"cut": 1_500_000}), ("a.bin", {"ignore_range": True})]
    result = fetch(http_source(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}
    assert result["bytes_fetched"] == 1_500_000 + 3_000_001


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_cuts_and_errors_ends_with_the_file(hub, tmp_path, seed):
    dice = random.Random(f"{SEED}-{seed}")  # noqa: S311 (no secret)
    kinds = [
        lambda: {"cut": dice.randrange(3_000_001)},
        lambda: {"status": dice.choice([408, 429, 500, 502, 503, 504])},
        lambda: {"ignore_range": True, "cut": dice.randrange(2_000_000)},
    ]
    hub.faults = [("/files/", dice.choice(kinds)()) for _ in range(6)]
    fetch(http_source(hub), str(tmp_path / "dest"), QUICK._replace(retries=8))
    assert files_below(tmp_path / "dest") == LARGE


def test_retry_after_is_waited_for(hub, tmp_path):
    hub.faults = [("objects/batch", {"status": 429, "headers": {"Retry-After": "1"}})]
    source, _identity = git_lfs_source(hub)
    began = time.monotonic()
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert time.monotonic() - began >= 1


def test_backoff_doubles_with_jitter_and_ends():
    waits = [real_backoff(attempt) for attempt in range(12)]
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits) <= http_client.LONGEST_BACKOFF


def real_backoff(attempt, real=http_client.backoff):
    """Return the real back-off, which the fixture replaces."""
    return real(attempt, None)


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("99999", 300), ("", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
)
def test_retry_after_in_all_its_forms(value, seconds):
    assert http_client.wait_asked({"Retry-After": value}) == seconds


def test_progress_resets_the_count_of_failures(hub, tmp_path):
    hub.files["a.bin"] = LARGE["a.bin"]
    hub.faults = [("a.bin", {"cut": 0})] + [("a.bin", {"cut": 1_100_000})] * 2
    fetch(http_source(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK._replace(retries=1))
    assert files_below(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}


def test_links_that_end_are_asked_for_again(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    hub.link_seconds = 1  # less than the margin: each file asks for its own
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert len(hub.requests("objects/batch")) == 3
    shutil.rmtree(tmp_path / "dest")
    hub.link_seconds = 3600
    hub.faults = [("/lfs-objects/" + hashlib.sha256(LARGE["a.bin"]).hexdigest(), {"status": 403})]
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == {**LARGE, **SMALL}


def test_wrong_bytes_come_once_more_and_are_then_refused(hub, tmp_path):
    hub.faults = [("a.bin", {"cut": 0}), ("a.bin", {"wrong": True})]
    fetch(http_source(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}
    hub.faults = [("a.bin", {"cut": 0})] + [("a.bin", {"wrong": True})] * 2
    said = refusal(http_source(hub, ["a.bin"]), tmp_path / "other")
    assert "a.bin came twice with sha256" in said and hashlib.sha256(LARGE["a.bin"]).hexdigest() in said
    assert files_below(tmp_path / "other") == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-11-10T15:29:07Z", 1478791747),
        ("2016-11-10T15:29:07.123Z", 1478791747),
        ("2016-11-10T16:29:07+01:00", 1478791747),
        ("2016-11-10T13:59:07-0130", 1478791747),
        ("0001-01-01T00:00:00Z", float("inf")),
        ("2016-99-10T15:29:07Z", float("inf")),
        ("tomorrow", float("inf")),
        (None, float("inf")),
    ],
)
def test_the_end_of_a_link_is_read(text, moment):
    assert lfs_batch.expiry_of({"expires_at": text}, 5) == moment
    assert lfs_batch.expiry_of({"expires_at": text, "expires_in": 10}, 5) == 15
