"""git-lfs on gpu01, which Molecule converged."""

testinfra_hosts = ["ssh://gpu01"]


def test_the_pinned_package_and_its_dependency_are_installed(host):
    assert host.check_output("rpm -q git-lfs") == "git-lfs-2.13.2-1.el7.x86_64"
    assert host.check_output("rpm -q git").startswith("git-1.8.3.1-")
    assert host.check_output("git-lfs version").startswith("git-lfs/2.13.2 ")


def test_only_the_pinned_key_was_imported(host, repository):
    (key,) = host.check_output("rpm -q gpg-pubkey --qf '%{version}\n'").split()
    assert repository["fingerprint"].lower().endswith(key)


def test_nothing_is_left_behind(host):
    assert host.run("ls -d /tmp/*.git-lfs /root/.gnupg").stdout == ""


def test_repositories_are_those_of_the_archive(host, repository):
    text = host.check_output("cat /etc/yum.repos.d/CentOS-Base.repo")
    assert text.count("baseurl = " + repository["url"] + "/vault/") == 3
    assert text.count("gpgcheck = 1") == 3 and "mirrorlist" not in text
