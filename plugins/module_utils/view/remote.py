"""Read how far a host's long work is, over the ssh connection that Ansible holds open. Python >= 3.10.

No connection is ever made, no password asked for, and nothing waits longer than LIMIT: ``ProxyCommand=false`` lets ssh
fail at once where there is no open connection to share, because only a new one would run it.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

from .progress import MARK, parsed

LIMIT = 2  # seconds
LONGEST = 4096  # bytes of one report
LOCAL = ["/bin/sh", "-c"]
SHARED = {
    "BatchMode": "yes",
    "ControlMaster": "no",
    "ProxyCommand": "false",
    "ProxyJump": "none",
    "NumberOfPasswordPrompts": "0",
    "LogLevel": "QUIET",
    "ConnectTimeout": str(LIMIT),
}
REPORTS = f"""date +%s
for f in /run/fastchat-progress/*.json "${{TMPDIR:-/tmp}}"/fastchat-progress-*/*.json; do
  [ -f "$f" ] && head -c {LONGEST} "$f" && echo {MARK}
done
true"""
# uv says nothing about its progress unless it has a terminal, so the kernel's count of what it wrote stands for it. On
# the control node another uv may run for somebody else.
UV = f"""
for c in /proc/[0-9]*/comm; do
  read -r n < "$c"
  [ "$n" = uv ] && p=${{c%/comm}} && while read -r k v; do
    [ "$k" = wchar: ] && echo "{{\\"bytes_done\\": $v, \\"at\\": 0}}{MARK}"
  done < "$p/io"
done
true"""
SCRIPT = REPORTS + UV


def load_filters() -> None:
    """Load Ansible's filters and tests now.

    Ansible loads them when a template first needs one, and a second thread that needs one meanwhile finds half of them:
    it warns that it skips plugins that seem to be invalid, and goes on without these.
    """
    from ansible.plugins.loader import filter_loader, test_loader  # noqa: PLC0415  (only the control node has these)

    for loader in (filter_loader, test_loader):
        list(loader.all())


def command_of(play: Any, host: str) -> list[str]:
    """Return the words that run a script on a host, without the script; [] when there is no ssh connection to share.

    The connection plugin builds them from all that names a connection (variables, ansible.cfg, options), so that they
    lead to the same socket.
    """
    from ansible import constants  # noqa: PLC0415  (only the control node has these)
    from ansible.playbook.play_context import PlayContext  # noqa: PLC0415
    from ansible.plugins.loader import connection_loader  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415

    manager = play.get_variable_manager()
    found = manager._inventory.get_host(host)
    variables = manager.get_vars(play=play, host=found)
    templar = Templar(loader=play.get_loader(), variables=variables)
    kind = templar.template(variables.get("ansible_connection") or play.connection or constants.DEFAULT_TRANSPORT)
    if kind in ("local", "ansible.builtin.local"):
        return LOCAL
    if kind not in ("smart", "ssh", "ansible.builtin.ssh"):
        return []
    context = PlayContext(play=play)
    context.remote_addr = templar.template(variables.get("ansible_host", host))
    connection = connection_loader.get("ssh", context, "/dev/null")
    names = constants.config.get_plugin_vars("connection", connection._load_name)
    options = {name: templar.template(variables[name]) for name in names if name in variables}
    keys = {**play.dump_attrs(), "timeout": LIMIT}
    connection.set_options(task_keys=keys, var_options={**options, "_extras": {}})
    connection.set_option("password", None)
    connection.set_option("pkcs11_provider", "")
    context.password = ""
    connection.host = connection.get_option("host") or context.remote_addr
    words = connection._build_command(connection.get_option("ssh_executable"), "ssh")
    settings = [word for key, value in SHARED.items() for word in ("-o", f"{key}={value}")]
    said = [word.decode() if isinstance(word, bytes) else word for word in words]
    return [said[0], *settings, *said[1:], str(connection.host)]


def ask(command: list[str], starting: Any, uv: bool = False) -> dict[str, Any] | None:
    """Return a host's figures, {} when it has none now, None when it did not answer in time.

    With ``uv`` also those of an uv that runs there, which is only right for a task that may have started it.
    ``starting`` is a lock that is held while the program starts, so that no fork of Ansible inherits its pipes.
    """
    script = SCRIPT if uv and command != LOCAL else REPORTS
    words = [*command, script if command == LOCAL else f"/bin/sh -c {shlex.quote(script)}"]
    with starting:
        asked = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    try:
        said, _ = asked.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.wait()
        return None
    return parsed(said.decode("utf-8", "replace")) if asked.returncode == 0 else None
