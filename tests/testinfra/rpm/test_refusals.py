"""gpu02 has nine names with settings that must be refused: each gives one sentence and changes nothing."""

import re

import pytest

testinfra_hosts = ["ssh://gpu02"]

RPM = r"git-lfs-2\.13\.2-1\.el7\.x86_64\.rpm"
# {url} is the repository's address, {key} the pinned fingerprint, {sha256} the right package's.
SENTENCES = {
    "signed_by_another_key": (
        r"{rpm} from {url}/wrong-key/\S+ is not as the key {key} signed it \(RSA/SHA512, .*, Key ID [0-9a-f]+\): take"
        r" the package and the key from where they are published; nothing was installed\."
    ),
    "changed_after_signing": (
        r"{rpm} from {url}/changed/\S+ is not as the key {key} signed it \(.*\): take the package and the key from"
        r" where they are published; nothing was installed\."
    ),
    "not_signed": (
        r"{rpm} from {url}/unsigned/\S+ is not signed: take a signed one, or set git_lfs_rpm_sha256 to the checksum"
        r" that you trust and git_lfs_rpm_gpg_check to false; nothing was installed\."
    ),
    "another_sha256": (
        r"{rpm} from {url}/cloud/\S+/download has sha256 {sha256}, git_lfs_rpm_sha256 is 0{64}: correct whichever is"
        r" wrong; nothing was installed\."
    ),
    "missing_dependency": (
        r"{rpm} could not be installed \(.*nothing provides git >= 1\.8\.2 needed by git-lfs-2\.13\.2-1\.el7\.x86_64"
        r".*\): correct that; where a package is missing, enable a repository that has it; on CentOS 7, whose mirrors"
        r" are gone,"
        r" el7_archive_use does\."
    ),
    "another_key": (
        r"The key from {url}/keys/other\.asc has fingerprint [0-9A-F]{40}, git_lfs_rpm_key_fingerprint is {key}: pin"
        r" the fingerprint that you trust, or set git_lfs_rpm_key_trust to true; nothing was installed\."
    ),
    "no_package": (
        r"What came from {url}/keys/pinned\.asc is no RPM package, wanted git-lfs 2\.13\.2: correct the address or"
        r" git_lfs_version; nothing was installed\."
    ),
    "nothing_there": (
        r"{rpm} could not be fetched from {url}/nowhere \(.*404.*\): point git_lfs_rpm_url to a mirror, or"
        r" git_lfs_rpm_file to a copy on the control node\."
    ),
    "nothing_checked": (
        r"git_lfs_rpm_gpg_check is false and git_lfs_rpm_sha256 is empty, so nothing would say that {rpm} is the right"
        r" file: set one of them\."
    ),
}


@pytest.fixture(scope="module")
def refused(host, converge, state):
    before = state()
    told = converge("refusers")
    return before, told, state()


@pytest.mark.parametrize("name", SENTENCES)
def test_it_is_refused_in_one_sentence(name, refused, repository):
    _before, told, _after = refused
    (message,) = told[name]["failed"]
    wanted = SENTENCES[name].replace("{rpm}", RPM).replace("{key}", repository["fingerprint"])
    wanted = wanted.replace("{url}", repository["url"]).replace("{sha256}", repository["sha256"])
    assert re.fullmatch(wanted, message), message


def test_the_machine_stays_as_it_was(refused):
    before, told, after = refused
    assert set(told) == set(SENTENCES)
    assert after["packages"] == before["packages"]
    assert sorted(after["files"] ^ before["files"]) == []
