"""playbooks/preflight.yml over hosts that are this machine, each with stand-ins for nvidia-smi and for its Python."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.plans import RECORDED
from tests.support.recordings import changed, recorded

ROOT = Path(__file__).resolve().parents[2]
FAULT = yaml.safe_load(recorded("faults.yml"))[0]


def standin(folder, **files):
    """Make a directory with a stand-in for nvidia-smi and what it replays; return its path."""
    folder.mkdir()
    shutil.copy(RECORDED / "standin-nvidia-smi", folder / "nvidia-smi")
    for name, content in files.items():
        (folder / name).write_text(content)
    return str(folder / "nvidia-smi")


def python_of(folder, version):
    """Stand in for an interpreter of a version: it says which it is, and nothing else."""
    path = folder / f"python{version}"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Return a function that runs the playbook: (exit status, output, {host: verdict})."""
    folder = tmp_path_factory.mktemp("fleet")
    eight = recorded("v100-sxm2-16gb-x8_550.127.05.txt")
    old = recorded("v100-sxm2-32gb_418.67.txt")
    topo = recorded("topo_v100-sxm2-x8_440.33.01.txt")
    smi = {
        "gpu01": standin(folder / "gpu01", q=eight, topo=topo),
        "gpu02": standin(folder / "gpu02", fault=FAULT["text"], status=str(FAULT["rc"])),
        "gpu03": standin(folder / "gpu03", q=old),
    }
    new, el7 = python_of(folder, "3.11.2"), python_of(folder, "3.9.25")
    workers = {
        host: {"preflight_nvidia_smi": path, "fastchat_runtime_python": el7 if host == "gpu03" else new}
        for host, path in smi.items()
    }
    inventory = {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "ansible_become": False,
                "ansible_python_interpreter": sys.executable,
                "fastchat_model": "vicuna-7b-v1.5",
                "fleet_controller": "http://localhost:21001",
                "fleet_api": "http://localhost:8000/v1",
                "fleet_memory_mb": 1,
                "fleet_disk_mb": 1,
            },
            "children": {
                "controllers": {"hosts": {"ctl01": {"fastchat_stack": "cpu", "fastchat_runtime_python": new}}},
                "workers": {"hosts": workers, "vars": {"fastchat_stack": "auto"}},
            },
        }
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(*arguments):
        told = folder / "preflight.json"
        told.unlink(missing_ok=True)
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", *arguments]
        command += ["-e", f"preflight_json={told}", ROOT / "playbooks" / "preflight.yml"]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
        said = json.loads(told.read_text())["hosts"] if told.exists() else {}
        return done.returncode, done.stdout, said

    return run


@pytest.fixture(scope="module")
def checked(fleet):
    return fleet("--check")


def test_the_table_shows_every_host_also_those_that_do_not_match_and_then_it_is_refused(checked):
    status, output, said = checked
    assert status != 0
    rows = {line.split('"')[1].split("  ")[0]: line for line in output.splitlines() if "  3." in line}
    assert sorted(rows) == ["ctl01", "gpu01", "gpu02", "gpu03"], output
    assert "8 x Tesla V100-SXM2-16GB" in rows["gpu01"] and "550.127.05" in rows["gpu01"]
    assert "broken" in rows["gpu02"]
    assert "1 x Tesla V100-SXM2-32GB" in rows["gpu03"] and "418.67" in rows["gpu03"]
    assert "gpu02: NVIDIA's kernel module" in output and "are 550.144 (Driver/library version mismatch)" in output
    assert output.index("Report | The fleet") < output.index("fatal: [gpu02]")
    assert sorted(said) == sorted(rows)


def test_nothing_is_changed_and_every_unfit_host_is_named(checked):
    _status, output, said = checked
    recap = [line for line in output.splitlines() if "changed=" in line]
    assert len(recap) == 4 and all("changed=0" in line for line in recap)
    for host, verdict in said.items():
        assert (f"fatal: [{host}]" in output) == bool(verdict["faults"])


def test_auto_becomes_a_stack_or_every_reason(checked):
    said = checked[2]
    assert (said["gpu01"]["asked"], said["gpu01"]["stack"]) == ("auto", "v100-torch210")
    assert (said["ctl01"]["asked"], said["ctl01"]["stack"]) == ("cpu", "cpu")
    assert said["gpu02"]["stack"] == said["gpu03"]["stack"] == ""
    assert any(
        "418.67, stack el7-v100-torch113 (CUDA 11.7) wants 450.80.02" in text for text in said["gpu03"]["faults"]
    )
    assert said["gpu01"]["found"]["topology"]["GPU0"]["GPU3"] == "NV2"


def test_the_plan_is_printed_below_the_table_and_told_as_json(checked):
    _status, output, said = checked
    # A V100 with 16 GB, and 4096 tokens: two GPUs for each worker
    first = "gpu01, plan: fastchat-worker@0: vicuna-7b-v1.5, GPUs 0,1, port 21002, 11827 of 16384 MiB on each"
    assert first in output and output.index("gpu02: ") > output.index(first)
    assert [one["gpus"] for one in said["gpu01"]["plan"]["instances"]] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert said["gpu01"]["plan"]["instances"][0]["cpus"].startswith("0 1 2 ")
    assert said["gpu02"]["plan"]["instances"] == said["ctl01"]["plan"]["instances"] == []
    assert [one["port"] for one in said["gpu03"]["plan"]["instances"]] == [21002]


def test_cards_in_trouble_and_a_small_one_are_named_below_the_table_and_the_others_serve(fleet, tmp_path):
    text = recorded("v100-sxm2-16gb-x8_550.127.05.txt")
    for keys, value in ((("Product Name",), "Quadro K620"), (("FB Memory Usage", "Total"), "2048 MiB")):
        text = changed(text, 0, keys, value)
    text = changed(text, 3, ("FB Memory Usage", "Total"), "Unknown Error")
    start, end = text.index("GPU 00000000:00:09.0\n"), text.index("GPU 00000000:00:0A.0\n")
    lost = "Unable to determine the device handle for GPU0000:00:09.0: Unknown Error\n"
    smi = standin(tmp_path / "gpu04", q=text[:start] + text[end:] + lost)
    gpu04 = {"preflight_nvidia_smi": smi, "fastchat_runtime_python": python_of(tmp_path, "3.11.2")}
    (tmp_path / "more.yml").write_text(yaml.safe_dump({"workers": {"hosts": {"gpu04": gpu04}}}))
    _status, output, said = fleet("-i", tmp_path / "more.yml", "--limit=gpu04")
    verdict = said["gpu04"]
    assert verdict["stack"] == "v100-torch210"  # which has no code for the Quadro's 5.0
    assert [one["gpus"] for one in verdict["plan"]["instances"]] == [[1, 2], [6, 7]]
    for sentence in (
        "gpu04, plan: GPU 3 is left out: GPU 00000000:00:07.0 has a fault: nvidia-smi can not read its total memory",
        "gpu04, plan: GPU 5 is left out: GPU 0000:00:09.0 is lost (Unknown Error): reboot the host;",
        "gpu04, plan: GPU 0 (00000000:00:04.0, Quadro K620) is left out: 1 x Quadro K620 with 2048 MiB can not hold",
        "gpu04, plan: GPU 4 idle",
    ):
        assert sentence in output, output
    assert not any("00:07.0" in fault for fault in verdict["faults"])
    _status, output, said = fleet(
        "-i", tmp_path / "more.yml", "--limit=gpu04", "-e", json.dumps({"fastchat_worker_instances": [{"gpus": [3]}]})
    )
    assert any("names GPU 3, not fit to serve. GPU 00000000:00:07.0 " in fault for fault in said["gpu04"]["faults"])


def test_a_plan_s_ports_are_looked_at_and_several_models_share_a_host_as_asked(fleet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        asked = {
            "fastchat_worker_port": port - 4,
            "fastchat_models": ["vicuna-7b-v1.1", "vicuna-13b-v1.1"],
            "fastchat_worker_shares": {"vicuna-13b-v1.1": 1},
        }
        _status, output, said = fleet("--limit=gpu01", "-e", json.dumps(asked))
    found = [(one["index"], one["model"]) for one in said["gpu01"]["plan"]["instances"]]
    # 13B takes four of 16 GB; whose number is said comes first
    assert found == [(0, "vicuna-13b-v1.1"), *[(index, "vicuna-7b-v1.1") for index in (4, 5, 6, 7)]]
    assert f"port {port} is taken by a process of" in output


@pytest.mark.parametrize(
    ("variables", "sentences"),
    [
        (
            {"fastchat_stack": "el7-v100-torch19", "fastchat_cli_num_gpus": 8, "vicuna_weights_output": "bin"},
            ["stack el7-v100-torch19 (torch 1.9.1) can not spread a model over 8 GPUs, which needs torch 1.10"],
        ),
        (
            {"fastchat_stack": "el7-v100-torch19"},
            ["vicuna_weights_output is 'safetensors', stack el7-v100-torch19 reads bin only"],
        ),
        ({"fastchat_stack": "auto"}, ["fastchat_stack is auto on the command line (-e)"]),
        (
            {"fastchat_stack": "turing-plus", "fastchat_model": "vicuna-33b-v1.3", "fastchat_worker_num_gpus": 1},
            [
                "compute capability 7.0, stack turing-plus (CUDA 13.2) holds code for 7.5",
                "needs 69309 MiB on 1 GPU: 62045 MiB of weights in float16 (32528943616 parameters x 2 bytes)",
            ],
        ),
        (
            {"fastchat_models": ["vicuna-7b-v1.5", "vicuna-70b"]},
            ["fastchat_models names 'vicuna-70b', wanted some of files/models"],
        ),
        (
            {"fastchat_worker_instances": [{"gpus": [8]}]},
            ["fastchat_worker_instances[0].gpus names GPU 8, this host has 8"],
        ),
        (
            {"fastchat_worker_dtype": "bfloat16"},
            ["bfloat16 needs 8.0"],
        ),
    ],
)
def test_impossible_wishes_are_refused(fleet, variables, sentences):
    status, output, _said = fleet("--limit=gpu01", "-e", json.dumps(variables))
    assert status != 0
    for sentence in sentences:
        assert sentence in output, output


def test_an_environment_with_a_wrong_key_is_refused_before_a_host_is_asked(fleet, tmp_path):
    files = tmp_path / "files"
    shutil.copytree(ROOT / "files", files)
    with (files / "environments" / "web.yml").open("a") as stream:
        stream.write("lokc: web\n")
    status, output, said = fleet("--limit=gpu01", "-e", json.dumps({"fleet_files": str(files)}))
    assert status != 0 and said == {}
    assert "The inventory can not be used: web.lokc is unknown, " in output
