"""A fleet, a git server (the container of the model hub, over ssh), and the repository that workers fetch from it."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

from testbed import wheelhouse
from testbed.containers import fleet, runs
from testbed.paths import CLONE

FLEET = "pull"
PULLS = "gpu02"
REPOSITORY = "/srv/git/fleet.git"
RECAP = re.compile(rf"{PULLS} +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)")
SETTINGS = Path("inventory/pull/group_vars/all.yml")


class PullSite:
    """What the control node, the git server and a worker that pulls are asked to do."""

    def __init__(self, folder):
        """Make the repository: this clone as it is, and an inventory that knows neither ssh nor a gateway's keys."""
        self.work = folder / "work"
        listed = ["git", "-C", str(CLONE), "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n"):
            source, target = CLONE / name, self.work / name
            if name and not source.name.startswith(".venv") and (source.is_symlink() or source.exists()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        demo = yaml.safe_load((runs.DEMO / "hosts.yml").read_text())
        del demo["all"]["vars"]
        self.settings = yaml.safe_load((runs.DEMO / "group_vars" / "all.yml").read_text())
        self.settings["fastchat_gateway_api_keys"] = {"nobody": "kept-on-the-control-node-0000000"}
        (self.work / SETTINGS).parent.mkdir(parents=True)
        (self.work / "inventory" / "pull" / "hosts.yml").write_text(yaml.safe_dump(demo))
        self.git("init", "--quiet", "--initial-branch=main")
        self.podman("exec", self.name("hub"), "mkdir", "-p", REPOSITORY, "/root/.ssh")
        self.publish()

    podman = staticmethod(fleet.podman)

    @staticmethod
    def name(host):
        """Return the name of a host's container."""
        return f"{fleet.prefix(FLEET)}-{host}"

    def on(self, host, *command, check=True, stdin=None):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", "--interactive", self.name(host), *command, check=check, stdin=stdin)

    def git(self, *arguments):
        """Run git in the repository's work tree, as nobody in particular."""
        who = ["-c", "user.name=operator", "-c", "user.email=operator@example.com"]
        subprocess.run(["git", "-C", str(self.work), *who, *arguments], check=True, capture_output=True)

    def publish(self, **settings):
        """Commit the settings with these in addition, and bring the result to the git server."""
        (self.work / SETTINGS).write_text(yaml.safe_dump({**self.settings, **settings}))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Settings", "--allow-empty")
        bare = self.work.with_name("fleet.git")
        shutil.rmtree(bare, ignore_errors=True)
        self.git("clone", "--quiet", "--bare", ".", str(bare))
        self.on("hub", "rm", "-rf", REPOSITORY)
        self.podman("cp", str(bare), f"{self.name('hub')}:{REPOSITORY}")
        self.on("hub", "chown", "-R", "root:root", REPOSITORY)

    def let_read(self, *keys):
        """Let these public keys fetch the repository from the git server, and do nothing else there."""
        allowed = "".join(f'restrict,command="git-upload-pack {REPOSITORY}" {key}\n' for key in keys)
        self.on("hub", "sh", "-c", "umask 077; cat > /root/.ssh/authorized_keys", stdin=allowed)

    def push(self, *arguments, playbook="site.yml", **variables):
        """Run a playbook from the control node, as ever; return ansible-runner's Runner."""
        return runs.run(FLEET, playbook, (runs.DEMO,), arguments, variables, quiet=True)

    def set_up(self, *arguments, **variables):
        """Run playbooks/pull.yml for the worker that is to pull, with wheels that were copied to it."""
        wheels = "/srv/pull-wheels"
        if not self.on(PULLS, "ls", wheels, check=False):
            self.podman("cp", str(wheelhouse.ensure("pull")), f"{self.name(PULLS)}:{wheels}")
        key = " ".join(self.on("hub", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
        given = {
            "pull_repository": f"ssh://root@hub{REPOSITORY}",
            "pull_inventory": "inventory/pull",
            "pull_known_hosts": f"hub {key}",
            "pull_wheelhouse": wheels,
            "pull_every": "12h",
            **variables,
        }
        given = {name: value for name, value in given.items() if value is not None}
        return self.push(f"--limit={PULLS}", *arguments, playbook="playbooks/pull.yml", **given)

    def pull(self):
        """Let the worker pull once; return (whether it went well, what it said, how many tasks changed something)."""
        since = self.on(PULLS, "date", "+%Y-%m-%d %H:%M:%S")
        done = self.on(PULLS, "sh", "-c", "systemctl start fastchat-pull && echo well", check=False)
        said = self.on(PULLS, "journalctl", "--unit=fastchat-pull", "--no-pager", "--output=cat", f"--since={since}")
        recap = RECAP.findall(said)
        return done == "well", said, int(recap[-1][1]) if recap else None
