"""The files and settings of units, and the digest that tells when a running process is out of date."""

import ast
import os
import subprocess

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.fastchat.fleet.plugins.filter.services import service_units
from ansible_collections.fastchat.fleet.plugins.filter.units import (
    api_units,
    page_gates,
    program_files,
    program_texts,
    service_files,
    unit_settings,
    units_wanted,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import digest_with_links

from testbed.paths import CLONE

SERVICES = str(CLONE / "services")
# What each role brings for its unit, or for the probe.
TOGETHER = [
    ["services.common.wait_http", "services.common.asking"],
    ["services.api"],
    ["services.web", "services.common.asking"],
    *(
        value
        for role in ("controller", "worker")
        for entry in yaml.safe_load((CLONE / f"roles/fastchat_{role}/vars/main.yml").read_text()).values()
        for value in ([entry["programs"]] if isinstance(entry, dict) and "programs" in entry else [entry])
        if isinstance(value, list) and all(isinstance(one, str) for one in value)
    ),
]


@pytest.fixture
def site(tmp_path):
    """A folder services with one package, and a unit's template; a function that says a unit's settings."""
    package = tmp_path / "services" / "echo"
    package.mkdir(parents=True)
    for path in (package.parent / "__init__.py", package / "__init__.py", package / "say.py", package / "hear.py"):
        path.write_text(f'"""{path.stem}"""\n')
    (tmp_path / "unit.j2").write_text("[Service]\n")
    return tmp_path


UNIT = {"name": "echo", "description": "d", "command": ["-m", "services.echo.say"], "gates": [{"url": "u"}]}


def settings(site, **changed):
    (unit,) = service_units([{**UNIT, "programs": ["services.echo.say"], **changed}])
    return unit_settings(unit, str(site / "unit.j2"), str(site / "services"))


def test_a_package_is_all_its_files_and_a_module_is_itself_below_its_packages(site):
    root = str(site / "services")
    above = ["services/__init__.py", "services/echo/__init__.py"]
    whole = program_files(["services.echo"], root)
    assert [file["name"] for file in whole] == [*above, "services/echo/hear.py", "services/echo/say.py"]
    assert whole[-1]["source"] == str(site / "services" / "echo" / "say.py")
    assert [file["name"] for file in program_files(["services.echo.say"] * 2, root)] == [*above, "services/echo/say.py"]
    assert program_texts(["services.echo.say"], root)["services/echo/say.py"] == '"""say"""\n'


@pytest.mark.parametrize("name", ["services.ecko", "services", "echo", "services.echo.shout"])
def test_a_program_that_is_not_there_is_refused_by_name(site, name):
    with pytest.raises(AnsibleFilterError, match=f"^{name} is no program below .*, wanted a name such as"):
        program_files([name], str(site / "services"))


@pytest.mark.parametrize("programs", TOGETHER, ids=" ".join)
def test_a_role_brings_everything_that_its_programs_import_of_ours(programs):
    texts = program_texts(programs, SERVICES)
    for name, text in texts.items():
        folder = os.path.dirname(name).replace("/", ".")
        for node in ast.walk(ast.parse(text, feature_version=(3, 9))):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = ".".join(filter(None, [folder if node.level else "", node.module]))
            if module.split(".")[0] != "services":
                continue
            places = [module, *(f"{module}.{one.name}" for one in node.names if node.module is None)][-1:]
            for place in places:
                path = place.replace(".", "/")
                assert f"{path}.py" in texts or f"{path}/__init__.py" in texts, f"{name} imports {place}"


def test_the_settings_are_the_digest_the_unit_s_own_and_what_all_have(site):
    said = settings(site, environment={"B": 1, "A": "x"})
    assert list(said) == ["FASTCHAT_DIGEST", "A", "B", "LOGDIR", "PYTHONUNBUFFERED", "HF_HUB_OFFLINE", "NO_PROXY"]
    assert (said["A"], said["B"], said["LOGDIR"]) == ("x", 1, "")


def test_a_process_is_out_of_date_when_anything_that_it_starts_with_is_another(site):
    digest = settings(site)["FASTCHAT_DIGEST"]
    assert settings(site)["FASTCHAT_DIGEST"] == digest
    others = [
        settings(site, environment={"A": "x"}),
        settings(site, command=["-m", "services.echo.say", "--loud"]),
        settings(site, memory_limit="1G"),
        settings(site, programs=["services.echo"]),
    ]
    (site / "unit.j2").write_text("[Service]\nNice=1\n")
    others.append(settings(site))
    (site / "services" / "echo" / "say.py").write_text("print()\n")
    others.append(settings(site))
    assert len({digest, *(other["FASTCHAT_DIGEST"] for other in others)}) == len(others) + 1


def test_a_process_is_not_out_of_date_for_what_it_does_not_start_with(site):
    digest = settings(site)["FASTCHAT_DIGEST"]
    (site / "services" / "echo" / "hear.py").write_text("print()\n")  # another program of the package
    assert settings(site, gates=[])["FASTCHAT_DIGEST"] == digest


def test_what_is_wanted_is_what_the_environment_file_says(site):
    units = service_units([{**UNIT, "programs": ["services.echo.say"], "socket": "h:1"}])
    (wanted,) = units_wanted(units, str(site / "unit.j2"), str(site / "services"))
    digest = settings(site, socket="h:1")["FASTCHAT_DIGEST"]
    assert wanted == {
        "name": "fastchat-echo.service",
        "gates": [{"url": "u"}],
        "socket": "h:1",
        "digest": digest,
        "follows": ["/opt/fastchat/env"],
    }


def test_a_process_is_out_of_date_when_a_link_that_it_follows_leads_elsewhere(tmp_path):
    link, other = tmp_path / "env", tmp_path / "other"
    absent = digest_with_links("d", [str(link)])
    link.symlink_to("envs/a")
    first = digest_with_links("d", [str(link)])
    assert digest_with_links("d", [str(link)]) == first and digest_with_links("e", [str(link)]) != first
    other.symlink_to("envs/a")
    link.unlink()
    link.symlink_to("envs/b")
    assert len({absent, first, digest_with_links("d", [str(link)]), digest_with_links("d", [str(other)])}) == 4


def test_the_files_of_units_are_their_programs_with_their_folders_settings_sockets_and_units(site):
    units = service_units([{**UNIT, "programs": ["services.common.asking"], "socket": "h:1", "gpu": True}])
    entries = service_files(units, str(site / "unit.j2"), SERVICES, ["services.worker.leave"])
    paths = [entry["path"] for entry in entries]
    below = "/usr/local/lib/fastchat/services"
    assert len(set(paths)) == len(paths) and paths[0] == "/etc/fastchat"
    assert {f"{below}/common/wait_http.py", f"{below}/common/asking.py", f"{below}/worker/leave.py"} <= set(paths)
    assert all(paths.index(os.path.dirname(path)) < paths.index(path) for path in paths if path.startswith(below + "/"))
    assert paths[-3:] == [
        "/etc/fastchat/echo.env",
        "/etc/systemd/system/fastchat-echo.socket",
        "/etc/systemd/system/fastchat-echo.service",
    ]
    assert "/etc/systemd/system/fastchat-gpu-devices.service" in paths
    (env,) = [entry for entry in entries if entry["path"].endswith(".env")]
    assert (env["owner"], env["group"], env["mode"]) == ("root", "fastchat", "0640")
    assert all(entry.get("mode") for entry in entries), "a mode that the umask decides"
    with pytest.raises(AnsibleFilterError, match="is no program below"):
        service_files(units, str(site / "unit.j2"), SERVICES, ["services.ecko"])


def test_each_api_server_has_a_name_a_port_and_a_health_check_of_its_own():
    limits = {"most_answers": 4, "again_seconds": 10, "answer_seconds": 0, "max_tokens": {"m": 9, "default": 1024}}
    first, second = api_units([8000, 8001], "10.1.2.3", "http://ctl01:21001", limits)
    assert (first["name"], second["name"]) == ("api@0", "api@1")
    assert second["command"][:4] == ["-m", "services.api", "--host=10.1.2.3", "--port=8001"]
    assert second["gates"] == [{"url": "http://10.1.2.3:8001/fleet/alive", "method": "GET"}]
    assert second["command"][-3:] == ["--answer-seconds=0", "--max-tokens=default=1024", "--max-tokens=m=9"]
    service_units([first, second])


def test_the_page_is_asked_for_itself_and_for_each_model():
    said = page_gates(["a", "b"], "http://h:7860")
    assert [gate["url"] for gate in said] == ["http://h:7860/", "http://h:7860/fleet", "http://h:7860/fleet"]
    assert [gate["expect"] for gate in said[1:]] == ['"a"', '"b"']


def test_the_launcher_finds_our_programs_and_gives_their_folder_to_no_other(tmp_path):
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$PYTHONPATH|$*"\n')
    python.chmod(0o755)
    run = str(CLONE / "roles" / "fastchat_service" / "files" / "run")
    for words, path in (
        (["-m", "services.api", "--port=1"], "/usr/local/lib/fastchat"),
        (["-m", "fastchat.serve.model_worker"], ""),
        (["/usr/local/lib/fastchat/fleet_api.py"], ""),  # as units of before services/ say
    ):
        command = ["sh", run, str(tmp_path / "env"), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        assert done.stdout == f"{path}|{' '.join(words)}\n"
