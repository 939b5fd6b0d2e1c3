"""A bundle's Debian packages come from where the operator says, or from where this machine takes its own."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.apt_sources import with_sources
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SYSTEM = {"name": "debian12", "keyring": KEYRING, "suites": ["bookworm main", "bookworm-security main"]}
WANTED = ["http://own/debian bookworm main", "http://own/security bookworm-security main"]
OTHERS = """
# deb http://commented/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/others.gpg] https://others/debian bookworm main
deb https://tool/apt tool-bookworm main
deb-src http://sources/debian bookworm main
deb http://contrib/debian bookworm contrib
"""
LINES = f"""
deb http://own/debian {{release}} main contrib   # a mirror of ours
deb [ signed-by={KEYRING} ] http://own/security {{release}}-security main
"""
PARAGRAPHS = f"""# Debian
Types: deb deb-src
# http://snapshot/debian
URIs: http://own/debian
Suites: {{release}} {{release}}-updates
Components: main non-free
Signed-By: {KEYRING}

Enabled: no
Types: deb
URIs: http://off/security
Suites: {{release}}-security
Components: main

Types: deb
URIs: http://own/security
Suites: {{release}}-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""


def apt(folder, **files):
    """Write apt's sources: ``sources.list`` and files of ``sources.list.d``."""
    (folder / "sources.list.d").mkdir()
    (folder / "sources.list").write_text(OTHERS)
    for suffix, text in files.items():
        (folder / "sources.list.d" / f"debian.{suffix}").write_text(text)
    return str(folder)


@pytest.mark.parametrize("release", ["bookworm", "trixie", "stable"])
@pytest.mark.parametrize(("suffix", "text"), [("list", LINES), ("sources", PARAGRAPHS)])
def test_the_addresses_are_those_of_this_machine_s_apt_of_whatever_release(tmp_path, release, suffix, text):
    folder = apt(tmp_path, **{suffix: text.replace("{release}", release)})
    assert with_sources(SYSTEM, folder)["sources"] == WANTED


def test_what_the_operator_says_wins(tmp_path):
    said = {**SYSTEM, "sources": ["https://mirror/debian bookworm main"]}
    assert with_sources(said, apt(tmp_path, list=LINES.replace("{release}", "bookworm"))) == said


def test_a_machine_without_an_archive_of_debian_is_told_what_to_set(tmp_path):
    ubuntu = "deb http://archive/ubuntu noble main\ndeb http://archive/ubuntu noble-security main\n"
    with pytest.raises(BundleError) as caught:
        with_sources(SYSTEM, apt(tmp_path, list=ubuntu))
    assert "names no archive of Debian for bookworm, bookworm-security: make the bundle on Debian" in str(caught.value)
    assert "set bundle_systems to {debian12: {sources: [" in str(caught.value)
