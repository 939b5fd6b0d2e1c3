"""No secret is in the ledger: a real run handles keys in every way that playbooks do, and the database is searched."""

import base64
import time
from urllib.parse import quote

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger.results import kept_of
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger.secrets import GONE, Censor, secrets_in

from report.record import settle
from tests.support.ledger_runs import everything_in, everything_kept, inventory, play

# Every one of them is looked for; those in a template's result differ from the variable's text.
KEYS = {
    "inventory": "inventory-k3y-8c1f",
    "group": "group-k3y-77aa",
    "play": "play-k3y-5d20",
    "extra": "extra-k3y-91be",
    "looked_up": "looked-up-k3y-4e4e",
    "nested": "nested-k3y-0b0b",
    "no_log": "no-log-k3y-6a6a",
    "registered": "hf_registeredk3y6b6b6b",
    "task": "task-name-k3y-2f2f",
    "vaulted": "vaulted-k3y-9d9d",
    "fact": "fact-k3y-1a1a",
    "quoted": 'quo"ted k3y/12+34',
}
PLAYBOOK = """
- name: Services | Handle keys
  hosts: all
  gather_facts: true
  gather_subset: [env]
  vars:
    play_api_key: {play}
    quoted_token: '{quoted}'
    __fleet_keys: "{{{{ fleet_keys }}}}"
  tasks:
    - name: Give a fact where nobody may look
      ansible.builtin.set_fact: {{own_token: "{fact}"}}
      no_log: true
    - name: Write them, and show the difference
      ansible.builtin.copy:
        dest: "{{{{ scratch }}}}/keys"
        content: |
          {{{{ inventory_password }}}} {{{{ group_secret }}}} {{{{ play_api_key }}}} {{{{ extra_token }}}}
          {{{{ looked_up_key }}}} {{{{ fleet_keys.alice }}}} {{{{ own_token }}}} {{{{ some_word }}}}
          {{{{ quoted_token }}}} {{{{ quoted_token | to_json }}}} {{{{ quoted_token | urlencode }}}}
          {{{{ extra_token | b64encode }}}} https://user:{{{{ extra_token }}}}@host/
        mode: "0600"
    - name: Write another where nobody may look
      ansible.builtin.copy: {{dest: "{{{{ scratch }}}}/hidden", content: {no_log}, mode: "0600"}}
      no_log: true
    - name: Loop where nobody may look
      ansible.builtin.command: "echo {{{{ item }}}}"
      loop: [{no_log}]
      no_log: true
    - name: "Name {task_name}"
      ansible.builtin.command: "echo {{{{ extra_token }}}} {{{{ play_api_key }}}}"
      environment: {{API_KEY: "{{{{ extra_token }}}}"}}
    - name: Print what looks like a token
      ansible.builtin.shell: "echo {registered} >&2; false"
      ignore_errors: true
    - name: Fail and say them
      ansible.builtin.fail:
        msg: "{{{{ inventory_password }}}} {{{{ looked_up_key }}}} {{{{ fleet_keys }}}} Bearer {{{{ extra_token }}}}"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "group_vars").mkdir()
    (folder / "vault-word").write_text("word of the vault\n")
    vaulted = VaultLib([("default", VaultSecret(b"word of the vault"))]).encrypt(KEYS["vaulted"]).decode()
    (folder / "key-file").write_text(KEYS["looked_up"] + "\n")
    (folder / "group_vars" / "all.yml").write_text(
        "some_word: !vault |\n"
        + "".join(f"  {line}\n" for line in vaulted.splitlines())
        + f"group_secret: {KEYS['group']}\nfleet_keys: {{alice: {KEYS['nested']}}}\n"
        f"looked_up_key: \"{{{{ lookup('file', '{folder}/key-file') }}}}\"\n"
    )
    hosts = inventory(folder / "hosts", 1, f"inventory_password={KEYS['inventory']}")
    book = folder / "run.yml"
    text = PLAYBOOK.format(**KEYS, task_name="{{ task_secret }}")
    book.write_text(text.replace("play_api_key:", f"task_secret: {KEYS['task']}\n    play_api_key:", 1))
    extra = (
        "--vault-password-file",
        str(folder / "vault-word"),
        "-e",
        f"scratch={folder}",
        "-e",
        f"extra_token={KEYS['extra']}",
    )
    ended = play(folder / "ledger", book, "-i", str(hosts), "--diff", *extra)
    settle(folder / "ledger")
    return folder, ended


def test_the_run_did_show_the_keys_and_was_recorded(run):
    folder, ended = run
    assert ended.returncode == 2, ended.stdout + ended.stderr
    shown = set(KEYS) - {"no_log"}
    assert [
        name for name in sorted(shown) if KEYS[name].encode() not in ended.stdout.encode() and name != "quoted"
    ] == []
    kept = everything_kept(folder / "ledger")
    assert "Write them, and show the difference" in kept and GONE in kept and "Fail and say them" in kept


@pytest.mark.parametrize("name", KEYS)
def test_no_key_is_in_the_ledger(run, name):
    folder, _ended = run
    kept, raw = everything_kept(folder / "ledger"), everything_in(folder / "ledger")
    key = KEYS[name]
    for form in (
        key,
        key.replace('"', '\\"'),
        quote(key),
        quote(key, safe=""),
        base64.b64encode(key.encode()).decode(),
    ):
        assert form not in kept
        assert form.encode() not in raw


def test_the_search_would_find_one(run):
    folder, _ended = run
    raw = everything_in(folder / "ledger")
    # These stand in the database compressed only: the diff's other words, and a host's part of a result.
    assert b"show the difference" in raw and b"@host/" in raw


def test_the_ledger_is_the_owners_alone(run):
    folder, _ended = run
    found = {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in (folder / "ledger").rglob("*")
    }
    assert (folder / "ledger").stat().st_mode & 0o777 == 0o700
    assert found.pop("ledger/spool") == 0o700
    assert set(found.values()) == {0o600}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abcdefgh1234", "abcdefgh1234"),
        ("https://bob:hunter22@h/x", "hunter22"),
        ("HF_TOKEN=hf_abcdefghijkl", "hf_abcdefghijkl"),
        ('{"api_key": "0123456789abcdef"}', "0123456789abcdef"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----", "MIIEv"),
        ("+-----BEGIN RSA PRIVATE KEY-----\n+MIIEcut", "MIIEcut"),
        ("password: correcthorse", "correcthorse"),
    ],
)
def test_what_looks_like_a_secret_goes(text, gone):
    assert gone not in Censor().text(text)


@pytest.mark.parametrize("text", ["max_tokens: 204800", "8 tokens, 41.3 tokens/s", "the key of a lock", "Basic facts"])
def test_what_is_none_stays(text):
    assert Censor().text(text) == text


def test_only_names_and_vaults_make_a_secret():
    class Vaulted(str):
        __slots__ = ()

    named = {"a": {"api_key": "123456789"}, "mode": "readable", "l": [{"token": "tok-tok"}], "key": "short"}
    found = secrets_in({**named, "v": Vaulted("vaulted-text")}, Vaulted)
    assert found == {"123456789", "vaulted-text", "tok-tok"}


def test_a_result_that_changed_nothing_keeps_nothing():
    result = {
        "changed": False,
        "stdout": "secret",
        "invocation": {"module_args": {"a": "b"}},
        "ansible_facts": {"env": 1},
    }
    assert kept_of(result, "ok", "command") == {}
    assert kept_of(result | {"changed": True, "msg": "m"}, "ok", "command") == {"msg": "m"}


def test_a_censor_with_thousands_of_secrets_is_fast():
    censor = Censor()
    censor.learn(f"secret-number-{number}" for number in range(2000))
    began = time.process_time()
    assert censor.text("x" * 20_000 + " secret-number-1999 ") == "x" * 20_000 + f" {GONE} "
    assert time.process_time() - began < 5
