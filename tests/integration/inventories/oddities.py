"""What is odd about each host, and how playbooks are run over them."""

import os
import secrets
from pathlib import Path

from testbed.containers import fleet, runs
from testbed.paths import STATE

FLEET = "sites"
HERE = Path(__file__).parent
CONTROLLER = "ctl-01.site-a.example"
ASKED = "gpu-01.rack-2.site-a.example"  # sudo asks for a password
CLOSED = "gpu-02.rack-2.site-a.example"  # whatever a login makes is its own alone
SILENT = "gpu-03.rack-2.site-a.example"  # in silent.yml
HOSTS = [CONTROLLER, ASKED, CLOSED]
LOCALES = {CONTROLLER: "zh_CN.UTF-8", ASKED: "de_DE.UTF-8", CLOSED: "zh_CN.UTF-8"}

SPEAK = """
printf 'LANG=%s\\nLC_ALL=%s\\n' "$1" "$1" > /etc/default/locale
"""
# sudo asks for it too: Debian's adds at least 022 to the umask of its caller.
CLOSE = """
for service in sshd sudo; do
  grep -q pam_umask /etc/pam.d/$service || echo 'session required pam_umask.so umask=077' >> /etc/pam.d/$service
done
"""
PROXY = """
printf '%s\\n' http_proxy=http://proxy:8888 https_proxy=http://proxy:8888 UV_SYSTEM_CERTS=true > /etc/environment
echo 'Defaults env_keep += "http_proxy https_proxy UV_SYSTEM_CERTS"' > /etc/sudoers.d/proxy
"""
# A proxy that opens TLS has an authority of its own: hosts trust whom this machine trusts.
TRUST = """
cat > /etc/ssl/certs/ca-certificates.crt
"""
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# A host that is down has a name all the same.
NAMED = """
grep -q "$2" /etc/hosts || echo "$1 $2" >> /etc/hosts
"""
LOGIN = """
id deploy 2> /dev/null || useradd --create-home --shell /bin/bash deploy
read -r password; echo "deploy:$password" | chpasswd
echo 'deploy ALL=(ALL:ALL) PASSWD: ALL' > /etc/sudoers.d/deploy
install -d -m 700 -o deploy -g deploy /home/deploy/.ssh
install -m 600 -o deploy -g deploy /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys
"""


def on(host, script, *arguments, stdin=None, check=True):
    """Return the standard output of a shell script on a host."""
    interactive = ["--interactive"] if stdin is not None else []
    name = f"{fleet.prefix(FLEET)}-{host}"
    return fleet.podman("exec", *interactive, name, "bash", "-ec", script, "-", *arguments, stdin=stdin, check=check)


def prepare():
    """Make the hosts odd; running it again changes nothing."""
    for host, locale in LOCALES.items():
        on(host, SPEAK, locale)
        on(host, TRUST, stdin=AUTHORITIES.read_text())
        on(host, NAMED, "fd00::dead", SILENT)
    for host in (CONTROLLER, CLOSED):
        on(host, CLOSE)
    on(CLOSED, PROXY)
    kept = STATE / FLEET / "sudo-password"
    if not kept.exists():
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(24) + "\n")
    on(ASKED, LOGIN, stdin=kept.read_text())


class Site:
    """The fleet; every run returns ansible-runner's Runner."""

    def run(self, *arguments, playbook="site.yml", more=(), **variables):
        """Run a playbook; ``more`` are further inventories of this folder, arguments are ansible-playbook's."""
        inventories = [HERE / "hosts.yml", *(HERE / name for name in more)]
        return runs.run(FLEET, playbook, inventories, arguments, variables, quiet=True)
