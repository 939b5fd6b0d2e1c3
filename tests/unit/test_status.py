"""The fleet is shown as one table, with a sentence for each fault."""

import copy
import json
import re

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.faults import gpu_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.releases import drifts, release_peers
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.status import COLUMNS, fleet_status
from ansible_collections.fastchat.fleet.plugins.module_utils.host import running as unit_facts
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import Systemd

from testbed.paths import CLONE
from tests.support.recordings import recorded
from tests.support.sentences import no_faults

NOW = 1_700_000_000
ENV, RELEASE = "cpu-0123456789ab", "4d1b6bb0a5e1"


def unit(name, **change):
    same = {"digest": "d1", "env": ENV, "model": "", "release": ""}
    if "worker" in name:
        same.update(model="m", release=RELEASE)
    whole = {
        "name": name,
        "state": "active",
        "sub": "running",
        "result": "success",
        "loaded": True,
        "enabled": "enabled",
    }
    return {**whole, "runs": dict(same), "written": dict(same), **change}


def worker(host, **change):
    name = "fastchat-worker@0"
    return {
        "units": [
            unit(name + ".service", **change),
            unit("fastchat-gpu-devices.service", state="inactive", sub="dead", enabled="static"),
            unit("fastchat-x.timer", sub="waiting"),
        ],
        "plan": {name: {"url": f"http://{host}:21002", "port": 21002, "model": "m", "gpus": [], "concurrency": 5}},
        "probe": {name: {"state": "good", "said": "", "at": NOW - 10}},
        "models": {"m": {"current": RELEASE, "releases": [RELEASE]}},
        "clock": NOW,
        "gpus": {},
    }


def controller():
    empty = {"plan": {}, "probe": {}, "models": {}, "clock": NOW, "gpus": {}}
    return {
        "units": [unit("fastchat-controller.service"), unit("fastchat-controller.socket", sub="listening")],
        **empty,
    }


def registry(*hosts, **change):
    serving = {"state": "serving", "models": ["m"], "queue_length": 0, "since": 5, "why": ""}
    return {"workers": {f"http://{host}:21002": {**serving, **change.get(host, {})} for host in hosts}, "started": NOW}


def fleet(**change):
    return {"ctl01": controller(), "gpu01": worker("gpu01"), "gpu02": worker("gpu02"), **change}


def faults(hosts, known=None, **change):
    return fleet_status(hosts, known or registry("gpu01", "gpu02", **change), "http://ctl01:21001")["faults"]


def test_a_fleet_that_is_well_has_a_row_for_each_service_and_no_fault():
    said = fleet_status(fleet(), registry("gpu01", "gpu02"), "http://ctl01:21001")
    assert said["faults"] == []
    assert said["table"] == [
        "HOST   UNIT        STATE   ENVIRONMENT       RELEASE         CONTROLLER  QUEUE  PROBE",
        "ctl01  controller  active  cpu-0123456789ab  -               -           -      -",
        "gpu01  worker@0    active  cpu-0123456789ab  m 4d1b6bb0a5e1  serving     0      good",
        "gpu02  worker@0    active  cpu-0123456789ab  m 4d1b6bb0a5e1  serving     0      good",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"state": "failed", "sub": "failed", "result": "exit-code"},
            "gpu02: fastchat-worker@0.service is failed (failed, exit-code), wanted active",
        ),
        ({"enabled": "disabled"}, "fastchat-worker@0.service is disabled: it would not come back after a reboot"),
        ({"loaded": False, "enabled": ""}, "fastchat-worker@0.service is not known to systemd there"),
        (
            {"runs": {"digest": "old", "env": ENV, "model": "m", "release": RELEASE}},
            "gpu02: fastchat-worker@0.service runs with other settings than those that are written for it",
        ),
        (
            {"written": {"digest": "d1", "env": ENV, "model": "m", "release": "ffff"}},
            f"gpu02: fastchat-worker@0.service runs release {RELEASE}, the link says ffff",
        ),
        (
            {"written": {"digest": "d1", "env": "cpu-ffff", "model": "m", "release": RELEASE}},
            f"gpu02: fastchat-worker@0.service runs environment {ENV}, the link says cpu-ffff",
        ),
    ],
)
def test_what_is_wrong_with_a_unit_is_one_sentence(change, sentence):
    (said,) = faults(fleet(gpu02=worker("gpu02", **change)))
    assert sentence in said


def test_what_the_controller_says_against_a_worker():
    (said,) = faults(fleet(), gpu01={"state": "hung", "why": "no answer within 3 s, twice"})
    assert said == (
        "gpu01: fastchat-worker@0.service is hung for its controller (no answer within 3 s, twice), wanted serving."
    )
    (said,) = faults(fleet(), registry("gpu01"))
    assert said == "gpu02: fastchat-worker@0.service is not registered for its controller, wanted serving."
    (said,) = faults(fleet(), registry("gpu01", "gpu02", "gpu03"))
    assert "http://gpu03:21002 is registered (serving) and is no host's here" in said


def test_a_limited_look_does_not_complain_of_the_other_workers():
    assert faults({"gpu01": worker("gpu01"), "gpu02": {}}) == ["gpu02 was not reached."]
    one = {"gpu01": worker("gpu01")}
    assert fleet_status(one, registry("gpu01", "gpu02"), whole=False)["faults"] == []
    assert len(fleet_status(one, registry("gpu01", "gpu02"))["faults"]) == 1


def test_what_the_probe_says():
    failing = worker("gpu01")
    failing["probe"]["fastchat-worker@0"].update(state="left out", said="3 restarts did not help: it generates nothing")
    (said,) = faults(fleet(gpu01=failing))
    assert said.startswith("gpu01: the probe of fastchat-worker@0.service says left out: 3 restarts did not help")
    old = worker("gpu01")
    old["probe"]["fastchat-worker@0"]["at"] = NOW - 4000
    (said,) = faults(fleet(gpu01=old))
    assert "was asked last 4000 s ago" in said


def test_a_host_that_is_not_reached_is_a_row():
    said = fleet_status(fleet(gpu02={}), registry("gpu01", "gpu02"), "http://ctl01:21001")
    assert said["faults"] == ["gpu02 was not reached."]
    assert said["table"][-1].split("  ")[:1] == ["gpu02"] and "not reached" in said["table"][-1]


def test_without_its_controller_the_fleet_is_still_shown():
    said = fleet_status(fleet(), None, "http://ctl01:21001")
    assert said["faults"] == [
        "http://ctl01:21001 does not say whom it knows: workers are shown without their state there."
    ]
    assert [row["controller"] for row in said["rows"]] == ["", "?", "?"]


def test_a_planned_worker_without_a_unit_is_missed():
    bare = worker("gpu01")
    bare["units"] = bare["units"][1:]
    assert "gpu01: the plan has fastchat-worker@0 and there is no such unit: run serve.yml." in faults(
        fleet(gpu01=bare)
    )


def test_a_worker_s_host_without_a_worker_is_missed():
    bare = {"units": [], "plan": {}, "probe": {}, "models": {}, "clock": NOW, "gpus": {}}
    said = fleet_status(fleet(gpu02={**bare, "worker": True}), registry("gpu01"), "")
    assert said["faults"] == [
        "gpu02 is in group workers and has no worker: run site.yml, or take it out of the inventory."
    ]
    assert said["rows"][-1]["state"] == "no services"
    assert fleet_status(fleet(bld01={**bare, "worker": False}), registry("gpu01", "gpu02"), "")["faults"] == []


def other(host, **runs):
    found = worker(host)
    for part in ("runs", "written"):
        found["units"][0][part].update(runs)
    return found


def test_drift_names_who_differs_from_most():
    three = fleet(gpu03=other("gpu03", release="ffff"))
    assert drifts(three) == [f"gpu03: fastchat-worker@0.service runs release ffff, 2 of 3 (m) run {RELEASE}."]
    two = fleet(gpu02=other("gpu02", release="ffff"))
    assert drifts(two) == [f"The releases of m differ, and no one has the most: {RELEASE} (1) and ffff (1)."]
    three = fleet(gpu03=other("gpu03", env="cpu-ffff"))
    assert drifts(three) == [f"gpu03: fastchat-worker@0.service runs environment cpu-ffff, 2 of 3 (worker) run {ENV}."]


def test_another_stack_or_model_is_no_drift():
    assert drifts(fleet(gpu02=other("gpu02", env="v100-torch210-0123", model="n", release="ffff"))) == []


def test_what_the_driver_reports_of_a_gpu():
    well = facts_of(recorded("v100-sxm2-16gb-x8_550.127.05.txt"))["gpus"][0]
    ill = {**well, "bus": "00000000:04:00.0", "ecc_uncorrected": {"volatile": 2}, "retired_pages": {"pending": True}}
    said = gpu_faults("gpu01", {"fault": "", "gpus": [well, ill, {**well, "remapped_rows": {"failed": True}}]})
    assert len(said) == 3
    assert said[1].startswith("gpu01: GPU 1 (00000000:04:00.0) had 2 uncorrected memory errors")
    assert gpu_faults("gpu01", {"fault": "the driver does not answer.", "gpus": []}) == [
        "gpu01: the driver does not answer."
    ]
    has = worker("gpu01")
    has["plan"]["fastchat-worker@0"]["gpus"] = [0, 1]
    has["gpus"] = {"gpus": [{**well, "memory_mb": 32480, "memory_used_mb": used} for used in (14010, 10)]}
    row = fleet_status(fleet(gpu01=has), registry("gpu01", "gpu02"))["rows"][1]
    assert row["gpu"] == "14010 of 32480 MiB, 10 of 32480 MiB"


def systemd_of(**properties):
    """Systemd whose systemctl is stood in for; properties by unit."""

    def run(words):
        shown = properties[words[-1].split(".")[0]]
        return 0, "\n".join(f"{name}={value}" for name, value in shown.items())

    return Systemd(run)


@pytest.fixture
def host(tmp_path):
    """A host with one worker that was started before its links were flipped."""
    for folder in ("units", "settings", "opt/envs/cpu-old/bin", "opt/envs/cpu-new/bin", "proc/77", "srv/models/m"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "opt/env").symlink_to("envs/cpu-new")
    for digest in ("old", "new"):
        (tmp_path / "srv/models/m/releases" / digest).mkdir(parents=True)
    (tmp_path / "srv/models/m/current").symlink_to("releases/new")
    (tmp_path / "units/fastchat-worker@0.service").write_text(
        f"[Service]\nExecStart=/usr/local/lib/fastchat/run {tmp_path}/opt/env -m fastchat.serve.model_worker"
        f" --model-path={tmp_path}/srv/models/m/current --port=21002\n"
    )
    (tmp_path / "settings/worker@0.env").write_text("# x\nFASTCHAT_DIGEST=d2\nLOGDIR=\n")
    release = f"{tmp_path}/srv/models/m/releases/old"
    (tmp_path / "proc/77/environ").write_text(f"A=1\0FASTCHAT_DIGEST=d1\0FASTCHAT_RELEASE={release}\0")
    (tmp_path / "proc/77/cmdline").write_text(f"{tmp_path}/opt/envs/cpu-old/bin/python\0-m\0fastchat\0")
    (tmp_path / "plan.json").write_text(json.dumps({"workers": {"fastchat-worker@0": {"port": 21002}}}))
    (tmp_path / "probe.json").write_text("{not whole")
    return tmp_path


def gather(host, **shown):
    systemd = systemd_of(**{"fastchat-worker@0": {"ActiveState": "active", "LoadState": "loaded", **shown}})
    paths = {"folder": "units", "settings": "settings", "plan": "plan.json", "probe": "probe.json", "weights": "srv"}
    options = {name: str(host / path) for name, path in paths.items()}
    return unit_facts.gather(systemd, options, proc=str(host / "proc"))


def test_a_process_says_itself_what_it_started_with(host):
    found = gather(host, MainPID="77")
    (worker_unit,) = found["units"]
    assert worker_unit["runs"] == {"digest": "d1", "env": "cpu-old", "model": "m", "release": "old"}
    assert worker_unit["written"] == {"digest": "d2", "env": "cpu-new", "model": "m", "release": "new"}
    assert found["models"] == {"m": {"current": "new", "releases": ["new", "old"]}}
    assert found["plan"] == {"fastchat-worker@0": {"port": 21002}} and found["probe"] == {}


def test_a_unit_without_settings_has_its_digest_itself(host):
    (host / "settings/worker@0.env").unlink()
    with (host / "units/fastchat-worker@0.service").open("a") as stream:
        stream.write("Environment=FASTCHAT_DIGEST=d3\n")
    assert gather(host)["units"][0]["written"]["digest"] == "d3"


def test_a_unit_that_does_not_run_has_started_with_nothing(host):
    (stopped,) = gather(host, MainPID="0", ActiveState="inactive")["units"]
    assert set(stopped["runs"].values()) == {""} and stopped["written"]["digest"] == "d2"
    (gone,) = gather(host, MainPID="78")["units"]  # its process ended while we looked
    assert set(gone["runs"].values()) == {""}


def test_the_facts_are_not_changed_by_the_report():
    hosts = fleet()
    before = copy.deepcopy(hosts)
    fleet_status(hosts, registry("gpu01", "gpu02"))
    assert hosts == before


def test_weights_come_from_a_worker_that_has_what_most_have():
    def peer(host, current, plan=True):
        return {"item": host, "plan": {"fastchat-worker@0": {}} if plan else {}, "models": {"m": {"current": current}}}

    asked = [
        peer("bld01", "new", plan=False),
        peer("gpu03", "new"),
        peer("gpu01", "old"),
        {"item": "gpu04", "unreachable": True},
    ]
    assert release_peers(asked, ["m", "n"]) == {"m": {"host": "gpu03", "release": "new"}}
    assert release_peers(asked[:1], ["m"]) == {"m": {"host": "bld01", "release": "new"}}
    assert release_peers([peer("gpu01", "")], ["m"]) == {}


def test_the_page_of_the_status_names_each_column():
    page = (CLONE / "docs" / "operations" / "status.md").read_text()
    unnamed = [name for name in COLUMNS if not re.search(rf"\b{name.upper()}\b", page)]
    no_faults([f"the column {name.upper()} is not named" for name in unnamed], of="docs/operations/status.md")
