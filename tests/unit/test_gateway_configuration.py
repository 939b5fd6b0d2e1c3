"""A configuration with keys is taken over whole or not at all, and no copy of it stays. openssl is the real one."""

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.gateway import certificates
from ansible_collections.fastchat.fleet.plugins.module_utils.gateway.configuration import (
    Refused,
    current_digest,
    current_files,
    difference,
    digest_of,
    left_over,
    remove_trees,
    take_over,
    words_of,
)

KEY, OTHER = b"sk\\-alice\\-0123456789", b"sk\\-alice\\-abcdefghij"
REQUEST = b"[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = chat.example.com\n"


def keys(key):
    return b'map $http_authorization $fastchat_who {\n  "~^[Bb]earer +' + key + b'$" "alice";\n}\n'


def files(key=KEY, conf=b"# one\n"):
    pem = b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nU0VDUkVU\n"
    return {"nginx.conf": conf, "keys.conf": keys(key), "tls.pem": pem + b"-----END EC PRIVATE KEY-----\n"}


def refuse(_path):
    raise Refused("nginx does not accept it.")


def with_keys(folder):
    """Return the directories below a folder that hold API keys."""
    return sorted({os.path.basename(here) for here, _inner, names in os.walk(folder) if "keys.conf" in names})


def test_what_is_accepted_is_current_and_the_only_copy(tmp_path):
    seen = []
    take_over(str(tmp_path), files(), lambda path: seen.append((path, Path(path).read_bytes())))
    digest = digest_of(files())
    assert seen == [(str(tmp_path / "candidate" / "nginx.conf"), b"# one\n")]
    assert current_digest(str(tmp_path)) == digest and current_files(str(tmp_path)) == files()
    assert with_keys(tmp_path) == [digest]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / digest).iterdir()} == {0o640}


def test_what_is_refused_leaves_the_present_one_and_no_key_and_the_next_run_goes_on(tmp_path):
    folder = str(tmp_path)
    take_over(folder, files(), lambda path: None)
    with pytest.raises(Refused):
        take_over(folder, files(OTHER), refuse)
    assert current_files(folder) == files() and with_keys(tmp_path) == [digest_of(files())]
    take_over(folder, files(OTHER), lambda path: None)
    assert current_files(folder) == files(OTHER)
    old = left_over(folder, digest_of(files(OTHER)))
    assert old == [os.path.join(folder, digest_of(files()))]
    remove_trees(old)
    assert with_keys(tmp_path) == [digest_of(files(OTHER))]


def test_what_a_killed_run_left_is_found_and_does_not_stop_the_next(tmp_path):
    (tmp_path / "candidate").mkdir()
    (tmp_path / "candidate" / "keys.conf").write_bytes(keys(KEY))
    os.symlink("nowhere", tmp_path / "current.part")
    assert left_over(str(tmp_path), "") == [str(tmp_path / "candidate")]
    take_over(str(tmp_path), files(), lambda path: None)
    assert with_keys(tmp_path) == [digest_of(files())] and left_over(str(tmp_path), digest_of(files())) == []


def test_a_file_that_somebody_changed_is_replaced(tmp_path):
    take_over(str(tmp_path), files(), lambda path: None)
    (tmp_path / "current" / "nginx.conf").write_bytes(b"# by hand\n")
    take_over(str(tmp_path), files(), lambda path: None)
    assert current_files(str(tmp_path)) == files()


def test_a_diff_says_what_changes_and_shows_no_key():
    before, after = difference(files(), files(OTHER, b"# two\n"))
    assert "# one" in before and "# two" in after and "a key of alice" in before and "QUJD" in after
    assert "which are not shown" in before and "others than before" in after
    for text in (before, after):
        assert not [secret for secret in ("0123456789", "abcdefghij", "U0VDUkVU") if secret in text]
    assert difference(files(), files()) == (difference({}, files())[1],) * 2
    assert difference({}, files())[0] == ""


def test_nginx_s_words_are_said_but_not_what_they_quote_of_keys():
    said = 'nginx: [emerg] bad value "sk-alice" in /x/candidate/keys.conf:3\nnginx: test failed\n'
    assert "sk-alice" not in words_of(said) and "nginx: test failed" in words_of(said) and "keys.conf" in words_of(said)


def run(arguments):
    done = subprocess.run(arguments, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_certificate_is_made_once_and_again_for_other_names_or_near_its_end(tmp_path):
    folder, own = str(tmp_path), tmp_path / "gateway"
    assert certificates.wanting(folder, REQUEST, 30, run) == "there is none"
    certificates.make(folder, REQUEST, 40, run)
    key, made = own.with_suffix(".key").read_bytes(), own.with_suffix(".crt").read_bytes()
    assert own.with_suffix(".key").stat().st_mode & 0o777 == 0o600 and b"PRIVATE KEY" in key
    assert certificates.wanting(folder, REQUEST, 30, run) == ""
    assert certificates.wanting(folder, REQUEST, 41, run) == "it ends within 41 days"
    assert certificates.wanting(folder, REQUEST + b"#", 30, run) == "its names change"
    certificates.make(folder, REQUEST + b"#", 40, run)
    assert own.with_suffix(".key").read_bytes() == key and own.with_suffix(".crt").read_bytes() != made


def test_a_run_that_dies_before_the_certificate_is_made_is_gone_on_with(tmp_path):
    certificates.make(str(tmp_path), REQUEST, 40, run)
    with pytest.raises(Refused, match=r"openssl req ended with 1: "):
        certificates.make(str(tmp_path), b"nothing that openssl reads\n", 40, run)
    assert certificates.wanting(str(tmp_path), b"nothing that openssl reads\n", 30, run) == "there is none"
