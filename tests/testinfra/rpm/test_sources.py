"""gpu02, last: an unsigned package that the operator put on the control node and whose checksum is trusted."""

import hashlib

from testbed.containers import fleet

testinfra_hosts = ["ssh://gpu02"]


def test_a_file_of_the_operator_is_installed_by_its_checksum_alone(host, repository, converge, tmp_path):
    file = tmp_path / repository["rpm"]
    name = f"{fleet.prefix(converge.fleet)}-repository"
    fleet.podman("cp", f"{name}:/srv/repository/unsigned/{file.name}", str(file))
    wishes = {
        "el7_archive_use": True,
        "git_lfs_rpm_url": "http://nowhere.invalid/",
        "git_lfs_rpm_file": str(file),
        "git_lfs_rpm_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "git_lfs_rpm_gpg_check": False,
    }
    told = converge("missing_dependency", **wishes)["missing_dependency"]
    assert told["failed"] == []
    assert host.check_output("rpm -q git-lfs") == "git-lfs-2.13.2-1.el7.x86_64"
    assert "Install_rpm | Install git when the package's signature is not checked" in told["changed"]
    # git's own signature was checked: its key came with its repository.
    assert host.run("rpm -q gpg-pubkey").rc == 0
