"""Each alert fires when its fault is made in real containers, reaches Alertmanager, and is gone when all is well."""

import json
import subprocess
from pathlib import Path

import pytest
from watched import within

from testbed.containers import runs
from testbed.paths import CLONE

HERE = Path(__file__).parent
DASHBOARD = json.loads((CLONE / "files" / "monitoring" / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
WORKER = "http://gpu01:21002"
LOADS = 600  # seconds in which a worker has loaded its model, on a machine that has much else to do
MODEL = "smollm2-demo"
DROP_IN = "/run/systemd/system/fastchat-exporter.service.d"


@pytest.fixture(autouse=True)
def quiet(site):
    """No alert is there before a fault is made, nor after it is gone."""
    for alert in {one["alertname"] for one in site.alerts()}:
        site.cleared(alert)
    yield
    for alert in {one["alertname"] for one in site.alerts()}:
        site.cleared(alert)


def test_a_host_that_is_silent(site):
    site.on("gpu01", "systemctl", "stop", "fastchat-node-exporter")
    site.fired("FleetHostSilent", instance="gpu01", job="node")
    site.on("gpu01", "systemctl", "start", "fastchat-node-exporter")
    site.cleared("FleetHostSilent")


def test_a_worker_that_is_missing(site):
    site.on("gpu01", "systemctl", "stop", "fastchat-worker@0")
    site.fired("FleetWorkerMissing", instance="gpu01", worker=WORKER, model=MODEL)
    site.on("gpu01", "systemctl", "start", "fastchat-worker@0")
    site.cleared("FleetWorkerMissing", LOADS)


def test_a_worker_that_hangs_and_is_killed_by_the_probe(site):
    before = site.on("gpu01", "systemctl", "show", "--property=MainPID", "fastchat-worker@0")
    site.on("gpu01", "systemctl", "kill", "--signal=STOP", "fastchat-worker@0")
    site.fired("FleetWorkerHung", worker=WORKER, state="failing")
    site.cleared("FleetWorkerHung", LOADS)
    assert site.on("gpu01", "systemctl", "show", "--property=MainPID", "fastchat-worker@0") != before


def test_slots_that_leak(site):
    # FastChat loses a slot for a request without a prompt. The guard lets none through, so the worker is asked itself.
    for _ in range(2):
        body = json.dumps({"model": MODEL, "max_new_tokens": 4})
        site.on("gpu01", "python3", "-c", LEAK, f"{WORKER}/worker_generate_stream", body)
    site.fired("FleetWorkerLeaksSlots", worker=WORKER)
    site.on("gpu01", "systemctl", "restart", "fastchat-worker@0")
    site.cleared("FleetWorkerLeaksSlots", LOADS)


LEAK = """
import sys, urllib.request
head = {"Content-Type": "application/json"}
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], sys.argv[2].encode(), head), timeout=15).read()
except Exception as error:
    print(error)
"""


def test_a_gpu_that_fell_off(site, tmp_path):
    """A library stands in for NVIDIA's; the exporter that asks it is the one of the fleet."""
    library = tmp_path / "libnvidia-ml.so.1"
    source = HERE / "standin_nvml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)
    site.on("gpu01", "mkdir", "--parents", "/opt/standin", "/run/standin-nvml", DROP_IN)
    site.put("gpu01", library, "/opt/standin/libnvidia-ml.so.1")
    plan = json.loads(site.on("gpu01", "cat", "/etc/fastchat/plan.json"))
    plan["workers"]["fastchat-worker@0"]["gpus"] = [0, 1]
    script = "cat > $0 && chmod 0644 $0"
    site.on("gpu01", "sh", "-c", script, "/opt/standin/plan.json", stdin=json.dumps(plan))
    start = site.on("gpu01", "sed", "--quiet", "s/^ExecStart=//p", "/etc/systemd/system/fastchat-exporter.service")
    text = "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/standin\n"
    text += f"ExecStart=\nExecStart={start.strip()} --plan=/opt/standin/plan.json\n"
    site.on("gpu01", "sh", "-c", script, f"{DROP_IN}/standin.conf", stdin=text)
    site.on("gpu01", "sh", "-c", "systemctl daemon-reload && systemctl restart fastchat-exporter")
    try:
        within(60, lambda: len(site.query('fastchat_gpu_up{instance="gpu01"} == 1')) == 2, "the GPUs are not seen")
        assert not site.has("FleetGpuLost")
        site.on("gpu01", "sh", "-c", "echo 79 > /run/standin-nvml/gpu1.xid; touch /run/standin-nvml/gpu1.lost")
        site.fired("FleetGpuLost", instance="gpu01", gpu="1")
        assert not site.has("FleetGpuLost", gpu="0")
        within(20, lambda: site.query('fastchat_gpu_xid_errors_total{gpu="1", xid="79"} == 1'), "no XID is counted")
        for title in ("GPU memory in use", "GPU temperature", "GPU errors in a day"):
            assert all(site.query(target["expr"]) for target in PANELS[title]["targets"]), title
        assert {(labels["gpu"], value) for labels, value in site.query("fastchat_gpu_temperature_celsius")} == {
            ("0", 41)
        }
        site.on("gpu01", "rm", "/run/standin-nvml/gpu1.lost")
        site.cleared("FleetGpuLost")
    finally:
        site.on("gpu01", "rm", "-r", DROP_IN, "/opt/standin", "/run/standin-nvml")
        site.on("gpu01", "sh", "-c", "systemctl daemon-reload && systemctl restart fastchat-exporter")


def test_a_disk_that_fills(site):
    staging = "/srv/fastchat/staging"
    site.on("gpu01", "mkdir", "--parents", staging)
    site.on("gpu01", "mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", staging)
    # In a container, systemd hands no new mount on to units that run.
    site.on("gpu01", "systemctl", "restart", "fastchat-exporter")
    try:
        site.on("gpu01", "dd", "if=/dev/zero", f"of={staging}/fill", "bs=1M", "count=63")
        site.fired("FleetDiskFilling", instance="gpu01", area="staging")
        site.on("gpu01", "rm", f"{staging}/fill")
        site.cleared("FleetDiskFilling")
    finally:
        site.on("gpu01", "umount", staging)
        site.on("gpu01", "systemctl", "restart", "fastchat-exporter")


def test_a_certificate_that_ends(site):
    ends = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=ctl01 "
    ends += "-addext subjectAltName=DNS:ctl01 -keyout /root/short.key -out /root/short.pem"
    site.on("ctl01", "sh", "-c", ends)
    names = {"certificate": "/root/short.pem", "certificate_key": "/root/short.key", "certificate_on_host": True}
    brought = {f"fastchat_gateway_{name}": value for name, value in names.items()}
    for more, wait in ((brought, site.fired), ({}, site.cleared)):
        for playbook in ("playbooks/gateway.yml", "playbooks/monitoring.yml"):
            runner = site.run(playbook=playbook, **more)
            assert runner.rc == 0, runs.words(runner)
        wait("FleetCertificateEnding", gateway="ctl01")
    site.cleared("FleetGatewaySilent")


def test_hosts_that_differ(site):
    now = site.on("gpu01", "readlink", "/opt/fastchat/env").strip()
    site.on("gpu01", "ln", "--symbolic", now.split("/")[1], "/opt/fastchat/envs/cpu-000000000000")
    site.on("gpu01", "ln", "--symbolic", "--force", "--no-dereference", "envs/cpu-000000000000", "/opt/fastchat/env")
    site.fired("FleetDrift", link="env", stack="cpu")
    site.on("gpu01", "ln", "--symbolic", "--force", "--no-dereference", now, "/opt/fastchat/env")
    site.on("gpu01", "rm", "/opt/fastchat/envs/cpu-000000000000")
    site.cleared("FleetDrift")


def test_a_process_that_is_out_of_date(site):
    settings = "/etc/fastchat/api@1.env"
    site.on("ctl01", "sed", "--in-place=.before", "s/^FASTCHAT_DIGEST=.*/FASTCHAT_DIGEST=000000000000/", settings)
    site.fired("FleetDrift", instance="ctl01", unit="api@1")
    site.on("ctl01", "mv", f"{settings}.before", settings)
    site.cleared("FleetDrift")


def test_no_answer_through_the_gateway(site):
    site.on("ctl01", "systemctl", "stop", "fastchat-gateway")
    site.fired("FleetGatewaySilent", gateway="ctl01")
    site.on("ctl01", "systemctl", "start", "fastchat-gateway")
    site.cleared("FleetGatewaySilent")


def test_requests_that_fail(site):
    word = f"Bearer {site.key('gateway')}"
    ask = json.dumps({"model": MODEL, "prompt": "Hello", "max_tokens": 2})
    site.on("gpu01", "systemctl", "stop", "fastchat-worker@0")
    statuses = {site.ask("https://ctl01/v1/completions", "POST", ask, word)[0] for _ in range(12)}
    assert min(statuses) >= 500, statuses
    site.fired("FleetErrors")
    site.on("gpu01", "systemctl", "start", "fastchat-worker@0")
    site.cleared("FleetWorkerMissing", LOADS)
    # Many that go well: the share falls below the limit.
    site.on("ctl01", "python3", "-c", MANY, "http://ctl01:8000/v1/models", "1000")
    site.cleared("FleetErrors", 400)


MANY = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    urllib.request.urlopen(sys.argv[1], timeout=20).read()
"""
