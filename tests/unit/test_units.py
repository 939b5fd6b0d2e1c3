"""Every unit is right, for every stack and every host of the inventory that operators copy."""

import functools
import re
from pathlib import Path

import pytest
import yaml

from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet
from tests.support.sentences import no_faults

EXAMPLE = CLONE / "inventory" / "example"
STACKS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CLONE / "files" / "stacks").glob("*.yml"))}
MODELS = sorted(path.stem for path in (CLONE / "files" / "models").glob("*.yml"))


@functools.cache
def rendered(**extra):
    files = Fleet(EXAMPLE, **extra).templates("serve.yml")
    units = [file for file in files if file.source == "service.unit.j2"]
    assert units
    return files, units


def uses_gpu(unit, device):
    return device != "cpu" and "/fastchat-worker@" in unit.path


def devices(stack):
    return ["cuda", "cpu"] if STACKS[stack]["gpu"] else ["cpu"]


CASES = [(stack, device, limit) for stack in STACKS for device in devices(stack) for limit in ("infinity", "48G")]


def test_each_directive_of_the_template_is_known_or_has_its_entry():
    """What takes no rendering, so that a directive that is misspelt or has no entry is told in a second."""
    template = (CLONE / "roles" / "fastchat_service" / "templates" / "service.unit.j2").read_text()
    plain = "\n".join(line for line in template.splitlines() if not line.lstrip().startswith("{%"))
    settings = unit_rules.lines(plain)
    names = {line.name for line in settings}
    unknown = {f"{line.section}.{line.name}" for line in settings} - unit_rules.KNOWN
    no_faults(
        f"{name} is unknown to systemd 219: correct its name, or add it to files/systemd/newer.yml"
        for name in sorted(unknown - {f"Service.{name}" for name in unit_rules.NEWER})
    )
    for name, entry in unit_rules.NEWER.items():
        at = f"files/systemd/newer.yml, {name}"
        no_faults([f"has {key}, wanted since, here or gap" for key in set(entry) - {"since", "here", "gap"}], of=at)
        if "since" not in entry or ("here" in entry) == ("gap" in entry):
            no_faults(["wanted since, and one of here and gap"], of=at)
        no_faults([] if name in names else ["the template does not have it: remove the entry"], of=at)


@pytest.mark.parametrize(("stack", "device", "limit"), CASES)
def test_every_unit_is_one_that_systemd_219_and_a_gpu_can_bear(stack, device, limit):
    _, units = rendered(fastchat_stack=stack, fastchat_worker_device=device, fastchat_worker_memory_limit=limit)
    names = {(unit.host, Path(unit.path).name) for unit in units}
    fleet = Fleet(EXAMPLE).inventory.groups
    workers = range(8) if device == "cuda" else [0]
    wanted = {(host.name, f"fastchat-worker@{n}.service") for host in fleet["workers"].get_hosts() for n in workers}
    wanted |= {
        (host.name, f"fastchat-{name}.service")
        for host in fleet["controllers"].get_hosts()
        for name in ("controller", "api@0", "api@1")
    }
    assert names == wanted
    for unit in units:
        gpu = uses_gpu(unit, device)
        no_faults(unit_rules.faults(unit.text, gpu=gpu), of=unit.path)
        values = {line.name: line.value for line in unit_rules.lines(unit.text)}
        assert ("PrivateDevices" in values) is not gpu, "without a GPU it has a /dev of its own"
        limited = limit if "worker@" in unit.path else "infinity"
        assert values.get("MemoryLimit", "infinity") == values.get("MemoryMax", "infinity") == limited
        assert unit.text.endswith("\n") and "{{" not in unit.text


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_command_that_systemd_reads_as_written(model):
    for unit in rendered(fastchat_model=model)[1]:
        (start,) = [line.value for line in unit_rules.lines(unit.text) if line.name == "ExecStart"]
        assert not set(start) & set("%$\\;\"'"), "these are systemd's own, not the command's"
        assert "--model-names=" not in start or f"--model-names={model} " in start


def test_cuda_s_device_files_are_made_by_a_unit_that_219_knows_before_a_gpu_worker_starts():
    (path,) = CLONE.glob("roles/*/files/*.service")
    assert {f"{line.section}.{line.name}" for line in unit_rules.lines(path.read_text())} <= unit_rules.KNOWN
    for device, wanted in (("cuda", True), ("cpu", False)):
        _, units = rendered(fastchat_stack="el7-v100-torch26", fastchat_worker_device=device)
        workers = [unit.text for unit in units if "worker@" in unit.path]
        assert workers and all((text.count(path.name) == 2) is wanted for text in workers)


def test_the_probe_and_the_sockets_are_units_that_systemd_219_can_bear():
    files, _ = rendered()
    probes = {file.text for file in files if file.path.endswith("/fastchat-probe.service")}
    (probe,) = probes
    # It is root, since it restarts workers; everything else is as protected as they are.
    assert [fault for fault in unit_rules.faults(probe, gpu=False) if "User=" not in fault] == []
    assert "User=" not in probe
    sockets = {file.path: file.text for file in files if file.path.endswith(".socket")}
    assert set(sockets) == {"/etc/systemd/system/fastchat-controller.socket"}
    for text in sockets.values():
        assert {f"{line.section}.{line.name}" for line in unit_rules.lines(text)} <= unit_rules.KNOWN


def test_each_worker_of_eight_has_a_gpu_a_port_and_a_name_of_its_own():
    files = {file.path: file.text for file in rendered()[0] if file.host == "gpu01.example.com"}
    for index in range(8):
        start = files[f"/etc/systemd/system/fastchat-worker@{index}.service"]
        assert f"--port={21002 + index} " in start and f":{21002 + index} --controller" in start
        assert f"CUDA_VISIBLE_DEVICES={index}\n" in files[f"/etc/fastchat/worker@{index}.env"]
    digests = {re.search("FASTCHAT_DIGEST=(.*)", text)[1] for path, text in files.items() if path.endswith(".env")}
    assert len(digests) == 8


def test_no_promise_for_newer_systemd_is_left_without_a_unit_that_makes_it():
    units = rendered(fastchat_stack="cpu", fastchat_worker_device="cpu", fastchat_worker_memory_limit="48G")[1]
    carried = {line.name for unit in units for line in unit_rules.lines(unit.text)}
    assert set(unit_rules.NEWER) <= carried
    for name, entry in unit_rules.NEWER.items():
        assert f"Service.{name}" not in unit_rules.KNOWN
        assert ("here" in entry) != ("gap" in entry) and entry["since"] > 219, name
        assert f"Service.{entry.get('here', 'User')}" in unit_rules.KNOWN


def test_every_template_of_every_role_was_rendered_for_every_host_that_gets_it():
    playbooks = sorted(path.name for path in (CLONE / "playbooks").glob("*.yml") if path.name != "site.yml")
    pull = {"pull_inventory": "inventory/mine", "pull_repository": "ssh://git@a/b"}
    fleet = Fleet(EXAMPLE, fastchat_monitoring_grafana="/etc/grafana/provisioning", **pull)
    fleet.join("mirrors", "ctl01.example.com").join("monitors", "ctl01.example.com")
    files = [file for name in playbooks for file in fleet.templates(name)]
    # What a host does not need is not included, so the other ways are asked for by name.
    other = Fleet(EXAMPLE, fleet_tls=True, fleet_firewall_backend="nftables")
    files += [file for name in ("tls.yml", "firewall.yml") for file in other.templates(name)]
    seen = {Path(file.source).name for file in files}
    unseen = {path.name for path in CLONE.glob("roles/*/templates/**/*.j2")} - seen
    assert not unseen, "no play renders them (what tasks register before goes into rendering.REGISTERED)"
    for file in files:
        text = re.sub(r"\{\{ (?:[^{}]*\$[^{}]*|else|end) ?\}\}", "", file.text)  # what Prometheus itself fills in
        assert "{{" not in text and "{%" not in text, file.path


@functools.cache
def gpu_unit():
    units = rendered(fastchat_worker_device="cuda", fastchat_worker_memory_limit="infinity")[1]
    return next(unit.text for unit in units if "worker@" in unit.path)


PLANTED = {
    "ProtectSytem=strict": "ProtectSytem= in [Service] is unknown",
    "StateDirectory=fastchat": "StateDirectory= in [Service] is unknown",
    "TimeoutStartSec=infinity": "overflows",
    "TimeoutStopSec=infinity": "overflows",
    "Type=exec": "unknown to systemd 219",
    "Type=oneshot": "Type=oneshot is refused",
    "StandardOutput=file:/var/log/x": "unknown to systemd 219",
    "StandardError=append:/var/log/x": "unknown to systemd 219",
    "RuntimeDirectory=fastchat/worker": "has a '/'",
    "ExecStartPre=+/bin/true": "prefix",
    "SystemCallFilter=@system-service": "takes all calls away",
    "PrivateDevices=yes": "hides /dev/nvidia*",
    "ProtectClock=yes": "hides /dev/nvidia*",
    "DeviceAllow=/dev/nvidia0 rw": "hides what is not named",
    "TasksMax=50%": "percentage",
    "RemoveIPC=yes": "other services",
    "MemoryMax=1G": "MemoryLimit=, which stands for it there, is absent",
    "LimitNOFILE=1024:4096": "two values",
    "[Unit]\nStartLimitIntervalSec=10": "StartLimitIntervalSec= in [Unit] is unknown",
}


@pytest.mark.parametrize("line", PLANTED)
def test_a_planted_fault_is_caught(line):
    unit = gpu_unit()
    assert unit_rules.faults(unit, gpu=True) == []
    faults = unit_rules.faults(unit.replace("[Install]", f"{line}\n\n[Install]"), gpu=True)
    assert any(PLANTED[line] in fault for fault in faults), faults


@pytest.mark.parametrize("name", sorted(unit_rules.PROTECTIONS))
def test_a_protection_that_is_taken_away_is_missed(name):
    unit = rendered()[1][0].text
    without = re.sub(rf"^{name}=.*\n", "", unit, flags=re.MULTILINE)
    assert without != unit
    assert [fault for fault in unit_rules.faults(without, gpu=False) if fault.startswith(f"{name}= is absent")]


def test_a_value_that_only_newer_systemd_knows_must_come_after_one_for_219():
    unit = rendered()[1][0].text
    swapped = unit.replace("ProtectSystem=full\nProtectSystem=strict", "ProtectSystem=strict\nProtectSystem=full")
    assert swapped != unit
    assert any("strict comes first" in fault for fault in unit_rules.faults(swapped, gpu=False))
