"""At the end the fleet is taken out of service, and nothing that watched it stays. This file comes last by its name."""

import pytest

from testbed.containers import runs


def test_a_teardown_takes_what_watches_away(site):
    runner = site.run(playbook="playbooks/teardown.yml", teardown_confirm="monitoring", teardown_data=True)
    assert runner.rc == 0, runs.words(runner)


@pytest.mark.parametrize("host", ["ctl01", "gpu01"])
def test_nothing_of_it_stays(site, host):
    units = site.on(host, "systemctl", "list-units", "--all", "--no-legend", "--plain", "fastchat-*")
    assert units.strip() == ""
    listening = site.on(host, "ss", "-Hltn", "sport >= 21093 and sport <= 21096")
    assert listening.strip() == ""
    for path in ("/etc/fastchat-monitoring", "/var/lib/fastchat-monitoring", "/etc/fastchat", "/opt/fastchat"):
        assert site.on(host, "ls", path, check=False) == "", path
    assert "fastchat" not in site.on(host, "cut", "--delimiter=:", "--fields=1", "/etc/passwd").split()
