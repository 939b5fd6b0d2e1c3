"""A new ssh host key is accepted only when a person confirms it."""

import subprocess

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.host.ssh_keys import (
    KeyFault,
    chosen,
    entry_name,
    faults_in,
    fingerprint_of,
    keys_of,
    settings_of,
)
from ansible_collections.fastchat.fleet.plugins.modules.ssh_host_key import replace_line


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return two real keys of each of two types, as (base64, fingerprint by ssh-keygen itself)."""
    folder, found = tmp_path_factory.mktemp("keys"), {}
    for name in ("old", "new"):
        for kind in ("ed25519", "ecdsa"):
            path = folder / f"{name}-{kind}"
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
            said = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True)
            found[name, kind] = (path.with_suffix(".pub").read_text().split()[1], said.stdout.split()[1])
    return found


def shown(keys, name):
    return {f"ssh-{kind}": keys[name, kind][0] for kind in ("ed25519", "ecdsa")}


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(keys):
    for key, fingerprint in keys.values():
        assert fingerprint_of(key) == fingerprint


def test_a_known_host_needs_no_word(keys):
    kind, key, fresh = chosen("gpu02", shown(keys, "old"), {"ssh-ed25519": keys["old", "ed25519"][0]}, "")
    assert (kind, key, fresh) == ("ssh-ed25519", keys["old", "ed25519"][0], False)


@pytest.mark.parametrize(("known", "words"), [("old", "not those that are known"), ("", "not known")])
def test_another_key_is_not_accepted_without_a_word(keys, known, words):
    with pytest.raises(KeyFault) as raised:
        chosen("gpu02", shown(keys, "new"), shown(keys, known) if known else {}, "")
    assert words in str(raised.value) and keys["new", "ed25519"][1] in str(raised.value)


def test_the_right_word_accepts_that_key(keys):
    for kind in ("ed25519", "ecdsa"):
        key, fingerprint = keys["new", kind]
        assert chosen("gpu02", shown(keys, "new"), shown(keys, "old"), fingerprint) == (f"ssh-{kind}", key, True)


def test_a_wrong_word_is_refused_even_for_a_known_host(keys):
    for known in ("old", "new"):
        with pytest.raises(KeyFault, match="Nothing was changed"):
            chosen("gpu02", shown(keys, "new"), shown(keys, known), keys["old", "ed25519"][1])


def test_one_changed_key_of_two_is_not_known(keys):
    mixed = {**shown(keys, "old"), "ssh-ed25519": keys["new", "ed25519"][0]}
    with pytest.raises(KeyFault):
        chosen("gpu02", mixed, shown(keys, "old"), "")


def test_a_silent_host_has_no_key():
    with pytest.raises(KeyFault, match="shows no ssh host key"):
        chosen("gpu02", {}, {}, "SHA256:x")
    said = faults_in("# gpu02:22 SSH-2.0\ngetaddrinfo gpu02: Name or service not known\n")
    with pytest.raises(KeyFault, match=r"\(ssh-keyscan says: getaddrinfo gpu02: Name or service not known\): see that"):
        chosen("gpu02", {}, {}, "", said)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"hostname": "gpu02", "port": "22"}, "gpu02"),
        ({"hostname": "10.0.0.7", "port": "2222"}, "[10.0.0.7]:2222"),
        ({"hostname": "127.0.0.1", "port": "40001", "hostkeyalias": "gpu02"}, "gpu02"),
        ({"hostname": "gpu02", "port": "22", "proxycommand": "none", "hostkeyalias": "none"}, "gpu02"),
    ],
)
def test_the_name_in_known_hosts_is_the_one_that_ssh_looks_for(settings, name):
    assert entry_name(settings) == name


def test_behind_another_host_a_person_has_to_do_it():
    with pytest.raises(KeyFault, match="proxyjump bastion"):
        entry_name(
            {"hostname": "gpu02", "port": "22", "proxyjump": "bastion", "userknownhostsfile": "~/.ssh/known_hosts"}
        )


def test_what_the_tools_print_is_read():
    assert settings_of("user root\nhostname gpu02\nidentityfile a\nidentityfile b\n")["identityfile"] == "a"
    text = "# gpu02:22 SSH-2.0\ngpu02 ssh-rsa AAAA\n@cert-authority * ssh-rsa CC\n\n|1|x|y ssh-ed25519 BBBB note\n"
    assert keys_of(text) == {"ssh-rsa": "AAAA", "ssh-ed25519": "BBBB"}


class Controller:
    """The one thing that replacing a line wants of an Ansible module."""

    def run_command(self, words):
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


def test_an_accepted_key_replaces_the_old_ones_of_its_host_alone(keys, tmp_path):
    path, old, new = tmp_path / "new" / "known_hosts", keys["old", "ed25519"][0], keys["new", "ed25519"][0]
    other, line = f"gpu03 ssh-ed25519 {old}\n", f"gpu02 ssh-ed25519 {new}"
    replace_line(Controller(), str(path), "gpu02", line)
    assert path.read_text() == f"{line}\n"
    path.write_text(f"gpu02 ssh-ed25519 {old}\n{other}".rstrip("\n"))
    replace_line(Controller(), str(path), "gpu02", line)
    assert path.read_text() == f"{other}{line}\n"
    assert path.stat().st_mode & 0o777 == 0o600 and list(path.parent.iterdir()) == [path]
