"""The metrics say what the fleet does, by Prometheus's conventions, to members of the fleet only."""

import json
from pathlib import Path

import pytest
from watched import PROMETHEUS, within

from testbed import round_trips
from testbed.containers import runs
from testbed.paths import CLONE

HERE = Path(__file__).parent
DASHBOARD = json.loads((CLONE / "files" / "monitoring" / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
MODEL = "smollm2-demo"
WORKER = "http://gpu01:21002"
# What only a GPU has. The third panel looks back a day; test_alerts.py, which loses a GPU, looks at all of them.
NOTHING_HERE = {"GPU memory in use", "GPU temperature"}


def exporter(host):
    return f"http://{host}:21093/metrics"


@pytest.fixture(scope="module")
def asked(site):
    """A client has asked: three times through the gateway, once for what is not there."""
    word = f"Bearer {site.key('gateway')}"
    body = json.dumps({"model": MODEL, "prompt": "Once upon a time", "max_tokens": 16, "temperature": 0})
    for _ in range(3):
        assert site.ask("https://ctl01/v1/completions", "POST", body, word)[0] == 200
    assert site.ask("https://ctl01/v1/models/nothing", word=word)[0] == 404
    wanted = 'sum(fastchat_api_requests_total{path="/v1/models/(one)", code="404"}) >= 1'
    within(30, lambda: site.query(wanted), "Prometheus does not see the request that was refused")
    return site


@pytest.mark.parametrize("host", ["ctl01", "gpu01"])
def test_promtool_finds_nothing_in_the_metrics(asked, host):
    text = asked.ask(exporter(host))[2]
    assert "fastchat_environment_info{" in text
    assert asked.on("ctl01", "promtool", "check", "metrics", stdin=text) == ""


def test_promtool_takes_configuration_and_rules_and_every_alert_has_a_story(asked):
    asked.on("ctl01", "promtool", "check", "config", "/etc/fastchat-monitoring/prometheus.yml")
    asked.on("ctl01", "amtool", "check-config", "/etc/fastchat-monitoring/alertmanager.yml")
    told = set(asked.on("ctl01", "sed", "--quiet", "s/^ *- alert: //p", "/etc/fastchat-monitoring/alerts.yml").split())
    story = (HERE / "rules.yml").read_text()
    assert told == {name for name in told if f"alertname: {name}" in story} and len(told) == 10


def test_the_numbers_are_those_of_the_fleet(asked):
    one = {"fastchat_workers_registered", "fastchat_workers_serving", "count(fastchat_worker_planned)"}
    assert {name: asked.query(name)[0][1] for name in one} == dict.fromkeys(one, 1)
    assert asked.query("fastchat_worker_queue_limit")[0][1] == 5
    assert {(labels["api"], value) for labels, value in asked.query("fastchat_api_up")} == {("api@0", 1), ("api@1", 1)}
    right = 'sum(fastchat_api_requests_total{path="/v1/completions", code="200"})'
    first = "sum(fastchat_api_first_token_seconds_count)"
    assert asked.query(right)[0][1] >= 3 and asked.query(first)[0][1] >= 3
    # The probe asks the worker itself, so these tokens are the clients' and the gateway's question's.
    assert asked.query('sum(fastchat_api_tokens_total{kind="completion"})')[0][1] >= 3 * 16
    assert asked.query("sum(fastchat_api_answer_tokens_per_second_count)")[0][1] >= 3
    assert 0 < asked.query("fastchat_probe_generation_seconds")[0][1] < 60
    assert asked.query("time() - fastchat_probe_last_look_timestamp_seconds")[0][1] < 60
    days = asked.query("(fastchat_gateway_certificate_expiry_timestamp_seconds - time()) / 86400")[0][1]
    assert 360 < days <= 365
    release = asked.on("gpu01", "readlink", f"/srv/fastchat/models/{MODEL}/current").strip().split("/")[-1]
    assert [labels["release"] for labels, _ in asked.query("fastchat_release_info")] == [release]
    assert not asked.query("fastchat_gpu_up"), "there is no GPU here"
    assert {value for _, value in asked.query("fastchat_unit_outdated")} == {0}


def test_the_number_of_series_does_not_grow_with_what_clients_send(asked):
    before = len(asked.query('{job="fastchat"}'))
    word = f"Bearer {asked.key('gateway')}"
    for number in range(30):
        asked.ask(f"http://ctl01:8000/v1/models/made-up-{number}", word=word)
        asked.ask(f"http://ctl01:8000/made-up/{number}")
    within(20, lambda: asked.query('sum(fastchat_api_requests_total{path="(another path)"}) >= 30'), "not counted")
    assert len(asked.query('{job="fastchat"}')) <= before + 4, "one for each API server and kind of path"


def test_a_key_is_in_no_command_and_in_no_file_for_all(asked):
    key = asked.key("monitoring")
    found = asked.on("ctl01", "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'", check=False)
    assert key not in found
    at = asked.on("ctl01", "stat", "--format=%U:%G %a", "/etc/fastchat/exporter/key")
    assert at.strip() == "root:fastchat 640"


@pytest.mark.parametrize("port", [21093, 21094, 21095, 21096])
def test_it_listens_on_the_fleet_s_address_alone_and_the_firewall_has_its_port(asked, port):
    listening = asked.on("ctl01", "ss", "-Hltn", f"sport = {port}").split()
    assert listening[3] == f"{asked.address('ctl01')}:{port}"
    assert "21090-21096" in asked.on("ctl01", "nft", "list", "table", "inet", "fastchat")


def test_everything_runs_as_the_fleet_s_user(asked):
    for host, units in {
        "gpu01": ["exporter", "node-exporter"],
        "ctl01": ["exporter", "prometheus", "alertmanager"],
    }.items():
        for unit in units:
            pid = asked.on(host, "systemctl", "show", "--property=MainPID", "--value", f"fastchat-{unit}").strip()
            assert asked.on(host, "stat", "--format=%U", f"/proc/{pid}").strip() == "fastchat", unit
    masked = asked.on("ctl01", "systemctl", "is-enabled", "prometheus", "prometheus-node-exporter", check=False).split()
    assert masked == ["masked", "masked"]


@pytest.mark.parametrize("title", sorted({*PANELS} - {"GPU errors in a day"}))
def test_a_panel_of_the_dashboard_has_what_the_fleet_has(asked, title):
    for target in PANELS[title]["targets"]:
        found = asked.query(target["expr"])
        assert bool(found) != (title in NOTHING_HERE), (target["expr"], found)
        named = [part.partition("}}")[0] for part in target["legendFormat"].split("{{")[1:]]
        assert all(label in labels for labels, _ in found for label in named), (target["legendFormat"], found)


def test_panels_and_the_fleet_agree(asked):
    def value(title, number=0):
        return asked.query(PANELS[title]["targets"][number]["expr"])

    registry = json.loads(asked.ask("http://ctl01:21001/fleet")[2])["workers"]
    assert value("Workers that serve")[0][1] == sum(one["state"] == "serving" for one in registry.values())
    assert [labels["worker"] for labels, _ in value("Workers by state")] == list(registry)
    free = {(labels["instance"], labels["area"]): share for labels, share in value("Free disk")}
    said = asked.on("gpu01", "df", "--output=avail,size", "/srv/fastchat/models").split()[-2:]
    assert abs(free["gpu01", "models"] - int(said[0]) / int(said[1])) < 0.02
    counts = [json.loads(asked.ask(f"http://ctl01:{port}/fleet/counts")[2]) for port in (8000, 8001)]
    tokens = sum(one["tokens"]["completion"] for one in counts)
    assert abs(asked.query('sum(fastchat_api_tokens_total{kind="completion"})')[0][1] - tokens) <= 5


def test_a_second_run_changes_nothing_and_asks_little(asked, tmp_path):
    output = tmp_path / "round_trips.json"
    runner = asked.run(playbook="playbooks/monitoring.yml", environment=round_trips.environment(output))
    assert runner.rc == 0, runs.words(runner)
    assert runs.changed(runner) == []
    counts = json.loads(output.read_text())["hosts"]
    budget = round_trips.budget("monitoring")
    assert round_trips.over_budget(counts, {"ctl01": "monitors", "gpu01": "workers"}, budget) == [], counts


def test_prometheus_says_what_it_does_only_to_members(asked):
    status, _headers, text = asked.ask(f"http://ctl01:{PROMETHEUS}/api/v1/targets", host="gpu01")
    assert status == 200
    targets = json.loads(text)["data"]["activeTargets"]
    assert {(one["labels"]["job"], one["labels"]["instance"], one["health"]) for one in targets} == {
        (job, host, "up") for job in ("fastchat", "node") for host in ("ctl01", "gpu01")
    }
