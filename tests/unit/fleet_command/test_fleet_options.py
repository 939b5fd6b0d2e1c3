"""The table of commands, and what of it reaches ansible-playbook and the reader of a help."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fleet import chat, cli, inventory, options
from fleet.commands import COMMANDS
from fleet.playbooks import arguments
from testbed.paths import CLONE, IMPORTS

GIVEN = {key: default for key, (_kind, default) in options.SHARED.items()}
OPTIONS = [(name, option) for name, command in COMMANDS.items() for option in command.options]
READERS = [*(CLONE / "playbooks").rglob("*.yml"), *(CLONE / "roles").glob("*/meta/argument_specs.yml")]


def told(name, **given):
    """Return the arguments of ansible-playbook for options that were given."""
    values = {**GIVEN, **{option.variable: None for option in COMMANDS[name].options}, **given}
    return arguments(COMMANDS[name], values, ["/inv"], values["limit"])


def extra(words):
    """Return the extra variables in arguments."""
    return json.loads(words[words.index("--extra-vars") + 1])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_playbook_of_a_command_exists_and_its_options_differ_from_ansible_s(name):
    assert (CLONE / COMMANDS[name].playbook).is_file()
    flags = [option.flag for option in COMMANDS[name].options]
    assert len({*flags}) == len(flags)
    assert not {flag.removeprefix("--").replace("-", "_") for flag in flags} & {*options.SHARED, "retry", "help"}


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda value: getattr(value, "variable", value))
def test_a_playbook_or_role_reads_the_variable_of_an_option(name, option):
    assert any(option.variable in path.read_text() for path in READERS)


def test_what_is_given_becomes_a_variable_of_its_type_and_nothing_else_does():
    assert "--extra-vars" not in told("rollback")
    assert extra(told("rollback", rollback_what="both", rollback_serial="1,25%")) == {
        "rollback_what": "both",
        "rollback_serial": [1, "25%"],
    }
    assert extra(told("prune", prune_keep=3)) == {"prune_keep": 3}
    assert extra(told("bundle", bundle_dir="b", bundle_models=True)) == {
        "bundle_dir": f"{os.getcwd()}/b",
        "bundle_models": True,
    }
    with pytest.raises(ValueError, match="--serial is 1,x, wanted numbers"):
        told("update", rolling_serial="1,x")


def test_ansible_s_own_options_pass_through():
    words = told("up", limit="gpu01", tags="weights", check=True, diff=True, verbose=2, ask_become_pass=True, forks=9)
    assert words == [
        str(CLONE / "site.yml"), "--inventory", "/inv", "--limit", "gpu01", "--tags", "weights", "--forks", "9",
        "--check", "--diff", "--ask-become-pass", "-vv",
    ]  # fmt: skip
    assert told("check", check=True, diff=True).count("--check") == 1
    assert told("up", extra_vars=["a=1", "@f"])[-4:] == ["--extra-vars", "a=1", "--extra-vars", "@f"]


def test_the_inventory_is_the_one_given_else_the_environment_s_else_ansible_s(tmp_path, monkeypatch):
    for name in ("given", "own", "cfg"):
        (tmp_path / name).write_text("h\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "ansible.cfg"))
    for name in ("FLEET_INVENTORY", "ANSIBLE_INVENTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    with pytest.raises(inventory.Unusable, match="No inventory was named. Give -i"):
        inventory.chosen([])
    (tmp_path / "own.cfg").write_text("[defaults]\ninventory = cfg\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "own.cfg"))
    assert inventory.chosen([]) == [str(tmp_path / "cfg")]
    monkeypatch.setenv("FLEET_INVENTORY", str(tmp_path / "own"))
    assert inventory.chosen([]) == [str(tmp_path / "own")]
    assert inventory.chosen([str(tmp_path / "given")]) == [str(tmp_path / "given")]
    assert inventory.chosen(["a,b"]) == ["a,b"]
    with pytest.raises(inventory.Unusable, match="/none does not exist"):
        inventory.chosen(["/none"])
    with pytest.raises(inventory.Unusable, match="--limit x leaves no host"):
        inventory.hosts_of([str(tmp_path / "given")], "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--nosuch"], "No such option"),
        (["nosuch"], "No such command"),
        (["rollback", "--what", "all"], "weights"),
        (["prune", "--keep", "many"], "--keep"),
        (["up", "gpu01"], "unexpected extra argument"),
        (["rebuild", "-i", "h,"], "works on one host; name it with --limit"),
        (["update", "-i", "h,", "--serial", "0"], "wanted numbers of hosts or percentages"),
        (["up", "-i", "h,", "--limit", "x"], "leaves no host"),
        (["chat", "-i", "h,"], "Group workers has no host"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_status_1(words, said):
    run = subprocess.run([sys.executable, "-m", "fleet", *words], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_hosts_phases_choices_and_options_are_completed(tmp_path):
    (tmp_path / "hosts").write_text("[workers]\ngpu01\ngpu02\n[controllers]\nctl01\n")

    def completed(line):
        environment = {**os.environ, "_FLEET_COMPLETE": "complete_bash", "COMP_WORDS": line,
                       "COMP_CWORD": str(len(line.split(" ")) - 1)}  # fmt: skip
        words = [sys.executable, "-c", "from fleet.cli import app; app(prog_name='fleet')"]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout.split()

    assert completed("fleet ro") == ["rollback"]
    assert "--host-key" in completed("fleet rebuild --h")
    assert completed("fleet rollback --what w") == ["weights", "web"]
    assert completed("fleet up --tags s") == ["services"]
    assert completed(f"fleet up -i {tmp_path}/hosts --limit gpu01,gpu") == ["gpu01,gpu01", "gpu01,gpu02"]
    assert completed(f"fleet up -i {tmp_path}/ho") == [f"{tmp_path}/hosts"]


def test_a_chat_goes_where_the_inventory_leads(tmp_path):
    (tmp_path / "ssh_config").write_text("")
    (tmp_path / "hosts").write_text(
        "[controllers]\nctl01\n[workers]\ngpu01 ansible_host=10.0.0.7 ansible_port=2222\ngpu02\n"
        "[all:vars]\nansible_user=ops\nansible_ssh_common_args='-F {{ inventory_dir }}/ssh_config'\n"
    )
    sources = [str(tmp_path / "hosts")]
    name, found = chat.variables_of(sources, "")
    assert chat.command(name, found, "", ["vicuna", "--temperature", "0 1"], terminal=True) == [
        "ssh", "-q", "-t", "-F", f"{tmp_path}/ssh_config", "-l", "ops", "-p", "2222", "10.0.0.7",
        "fastchat-chat vicuna --temperature '0 1'",
    ]  # fmt: skip
    name, found = chat.variables_of(sources, "gpu02")
    words = chat.command(name, found, "me", [], terminal=False)
    assert words == ["ssh", "-q", "-F", f"{tmp_path}/ssh_config", "-l", "me", "gpu02", "fastchat-chat"]
    with pytest.raises(inventory.Unusable, match="--limit ctl01 leaves no worker"):
        chat.variables_of(sources, "ctl01")


def test_what_the_vault_has_encrypted_is_read_with_the_password_s_file(tmp_path):
    (tmp_path / "password").write_text("of-this-test\n")
    (tmp_path / "hosts").write_text("[workers]\ngpu01\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("ansible_user: ops\n")
    vault = ["ansible-vault", "encrypt", "--vault-password-file", str(tmp_path / "password")]
    subprocess.run([*vault, str(tmp_path / "group_vars" / "all.yml"), str(tmp_path / "hosts")], check=True)
    sources, password = [str(tmp_path / "hosts")], str(tmp_path / "password")
    assert [host.name for host in inventory.hosts_of(sources, "", password)] == ["gpu01"]
    assert chat.variables_of(sources, "", password) == ("gpu01", {"ansible_user": "ops"})
    with pytest.raises(inventory.Unusable):
        chat.variables_of(sources, "")
    with pytest.raises(inventory.Unusable, match="The inventory can not be used: .*vault"):
        chat.variables_of(sources, "", str(tmp_path / "nosuch"))


def test_an_inventory_that_ansible_can_not_read_is_told_with_ansible_s_own_reason(tmp_path, capsys):
    (tmp_path / "hosts.yml").write_text("all: [\n")
    with pytest.raises(inventory.Unusable, match="There is no host in"):
        inventory.hosts_of([str(tmp_path / "hosts.yml")], "")
    assert "Failed to parse" in capsys.readouterr().err


def test_report_is_the_project_s_own_program_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    told = CliRunner().invoke(cli.app, ["report"])
    assert (told.exit_code, "has no report yet" in told.stderr) == (1, True)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "__init__.py").write_text("")
    (tmp_path / "report" / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{IMPORTS}"}
    words = [sys.executable, "-m", "fleet", "report", "--help", "x"]
    run = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (3, "['--help', 'x']\n")


def test_the_command_is_installed_from_the_lock_alone(tmp_path):
    """The Makefile's own line: uv, which the lock has, builds and links the project without a download."""
    environment = tmp_path / "env"
    uv = f"{os.path.dirname(sys.executable)}/uv"
    options = ["--quiet", "--offline", "--python", sys.executable, "--system-site-packages"]
    subprocess.run([uv, "venv", *options, str(environment)], check=True)
    (environment / "bin" / "uv").symlink_to(uv)
    (line,) = (line for line in (CLONE / "Makefile").read_text().splitlines() if "uv pip install" in line)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = shlex.split(line.replace("$(VENV)", str(environment)), comments=True)
    done = subprocess.run(words, cwd=CLONE, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # uv warns of a build-system that is not its own version's
    assert "from fleet.cli import main" in (environment / "bin" / "fleet").read_text()
    found = [str(environment / "bin" / "python"), "-c", "import fleet; print(fleet.__file__)"]
    told = subprocess.run(found, cwd="/", env=clean, capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(CLONE / "fleet" / "__init__.py")
