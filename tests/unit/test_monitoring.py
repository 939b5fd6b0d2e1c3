"""What watches the fleet: what the guard counts, what Prometheus asks, and what can not be fetched."""

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.filter import monitoring
from ansible_collections.fastchat.fleet.plugins.filter.gateway import gateway_status_faults

from services.api import counts
from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE = CLONE / "inventory" / "example"
TABLE = yaml.safe_load((CLONE / "files" / "monitoring" / "programs.yml").read_text())["programs"]


def test_the_guard_counts_what_was_asked_and_made():
    here = counts.Counts()
    here.answered("/v1/completions", 200)
    here.answered("/v1/completions", 200)
    here.answered("(another path)", 404)
    here.generated(10.0, 10.3, 12.3, {"prompt_tokens": 7, "completion_tokens": 41})
    here.generated(10.0, 75.0, 75.0, {"prompt_tokens": 3, "completion_tokens": 1})
    said = here.said()
    assert said["requests"] == [["(another path)", "404", 1], ["/v1/completions", "200", 2]]
    assert said["tokens"] == {"prompt": 10, "completion": 42}
    first, rate = said["first_token"], said["rate"]
    assert first["counts"][first["bounds"].index(0.5)] == 1 and first["counts"][-1] == 1
    assert round(first["sum"], 6) == 65.3
    # An answer of one token has no speed.
    assert sum(rate["counts"]) == 1 and rate["counts"][rate["bounds"].index(20)] == 1 and round(rate["sum"], 6) == 20


def test_the_first_word_is_counted_from_when_the_request_came():
    here = counts.Counts()
    counts.ARRIVED.set(5.0)
    here.generated(10.0, 10.5, 11.0, {})
    assert here.first_token.sum == 5.5


def test_a_value_on_a_bound_belongs_to_its_bucket():
    histogram = counts.Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.add(value)
    assert histogram.said() == {"bounds": [1, 2], "counts": [2, 2, 1], "sum": 8.0}


def test_each_host_is_a_target_by_its_name_and_its_own_port():
    hostvars = {"gpu01": {}, "fd00::1": {"fastchat_exporter_port": 9}}
    assert monitoring.scrape_targets(hostvars, list(hostvars), "fastchat_exporter_port", 21093) == [
        {"targets": ["gpu01:21093"], "labels": {"instance": "gpu01"}},
        {"targets": ["[fd00::1]:9"], "labels": {"instance": "fd00::1"}},
    ]
    assert monitoring.exporter_peers(hostvars, ["fd00::1"]) == {"fd00::1": "http://[fd00::1]:9"}
    assert monitoring.exporter_servers([8000, 8001], "ctl01")["api@1"] == "http://ctl01:8001"


def test_a_host_without_packages_is_told_what_is_missing():
    def said(url="https://mirror.example.com", architecture="x86_64", table=TABLE):
        return monitoring.monitoring_archive_faults(table, ["node_exporter"], url, architecture)

    assert said() == []
    (one,) = said("")
    assert "monitoring_programs_url is not set" in one and "node_exporter-1.7.0.linux-amd64.tar.gz" in one
    (one,) = said(architecture="aarch64")
    assert "aarch64" in one and "x86_64" in one
    (one,) = said(table={"node_exporter": {**TABLE["node_exporter"], "sha256": ""}})
    assert "no sha256" in one


@pytest.mark.parametrize("name", sorted(TABLE))
def test_an_archive_is_pinned_and_no_server_is_named(name):
    one = TABLE[name]
    assert len(one["sha256"]) == 64 and one["version"] in one["archive"] and "/" not in one["archive"]


def test_the_key_of_the_page_can_ask_nothing():
    long = "k" * 32
    assert gateway_status_faults("", {}) == gateway_status_faults(long, {"alice": "a" * 32}) == []
    (one,) = gateway_status_faults(long, {"alice": long})
    assert "the key of alice" in one and long not in one
    assert "3 characters" in gateway_status_faults("abc", {})[0]
    assert "other characters" in gateway_status_faults("a b" * 20, {})[0]


def watched(**extra):
    return Fleet(EXAMPLE, **extra).join("monitors", "ctl01.example.com").templates("monitoring.yml")


def test_nothing_is_written_where_nobody_watches():
    assert Fleet(EXAMPLE).templates("monitoring.yml") == []


def test_the_units_are_ones_that_systemd_219_can_bear():
    units = {(file.host.split(".")[0], file.path.split("/")[-1]): file for file in watched() if "/system/" in file.path}
    every = {
        (host, f"fastchat-{name}.service")
        for host in ("ctl01", "gpu01", "gpu02")
        for name in ("exporter", "node-exporter")
    }
    assert set(units) == every | {("ctl01", "fastchat-prometheus.service"), ("ctl01", "fastchat-alertmanager.service")}
    for (host, name), file in units.items():
        gpu = name == "fastchat-exporter.service" and host != "ctl01"
        assert unit_rules.faults(file.text, gpu=gpu) == [], (host, name)
        assert "User=fastchat\n" in file.text and ("PrivateDevices=yes" in file.text) is not gpu


def test_only_the_controller_s_exporter_asks_controller_api_and_gateway():
    starts = {
        file.host.split(".")[0]: file.text for file in watched() if file.path.endswith("/fastchat-exporter.service")
    }
    assert "--api=api@1=http://ctl01.example.com:8001" in starts["ctl01"] and "--gateway=" in starts["ctl01"]
    assert "--controller" not in starts["gpu01"] and "--peer" not in starts["gpu01"]
