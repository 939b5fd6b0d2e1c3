"""Not run by this project: what ``molecule/centos7`` verifies on a real CentOS 7."""

testinfra_hosts = ["ssh://centos7"]


def test_it_is_centos_7_with_yum_and_python_2(host):
    assert host.file("/etc/redhat-release").content_string.startswith("CentOS Linux release 7.")
    assert host.check_output("rpm -q yum").startswith("yum-3.")
    assert host.run("python2.7 --version").rc == 0


def test_the_pinned_git_lfs_works_with_the_systems_git(host):
    assert host.check_output("rpm -q git-lfs") == "git-lfs-2.13.2-1.el7.x86_64"
    assert host.check_output("git lfs version").startswith("git-lfs/2.13.2 ")


def test_the_pinned_key_is_the_one_imported(host):
    assert host.run("rpm -q gpg-pubkey --qf '%{version} ' | grep -i dc282033").rc == 0


def test_nothing_is_left_behind(host):
    assert host.run("ls -d /tmp/*.git-lfs").stdout == ""
