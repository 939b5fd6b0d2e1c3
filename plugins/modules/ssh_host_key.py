#!/usr/bin/python
"""Accept a host's new ssh host key when a person confirms it. Runs on the control node, where OpenSSH's client is."""

DOCUMENTATION = r"""
module: ssh_host_key
short_description: Accept a host's new ssh host key when a person confirms it
description:
  - Asks ssh itself (C(ssh -G)) where it connects and where known keys lie, and the host for its keys (C(ssh-keyscan)).
  - A host whose key is known is left as it is. A new key replaces the old ones only if O(fingerprint) is its own; else
    the module fails with both sides in one sentence, and nothing is changed.
options:
  host: {description: What ssh is told to connect to., type: str, required: true}
  arguments: {description: What else it is told on its command line., type: str, default: ''}
  port: {description: The port; 0 for what ssh's configuration says., type: int, default: 0}
  fingerprint: {description: 'Such as SHA256:…, read on the console of the host.', type: str, default: ''}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: The operator has read it on the console
  fastchat.fleet.ssh_host_key: {host: gpu02, fingerprint: "SHA256:0123…"}
  delegate_to: localhost
"""
RETURN = r"""
line: {description: The line of known_hosts that stands for the accepted key., type: str, returned: always}
path: {description: The file that ssh keeps known keys in., type: str, returned: always}
"""

import os
import shlex
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.host.ssh_keys import (
    KeyFault,
    chosen,
    entry_name,
    faults_in,
    keys_of,
    settings_of,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.files import remove, write

TRIES = 6


def ask(module, words, good=(0,)):
    """Return what a command printed."""
    code, said, wrong = module.run_command(words)
    if code not in good:
        module.fail_json(msg="%s ended with %d: %s" % (" ".join(words), code, (wrong or said).strip()))
    return said


def replace_line(module, path, name, line):
    """Replace the lines for a name in a file of known hosts with one line, in one step."""
    text, draft = "", path + ".new"
    if os.path.exists(path):
        with open(path) as stream:
            text = stream.read()
    else:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    write(draft, text.encode(), mode=0o600)
    ask(module, ["ssh-keygen", "-R", name, "-f", draft])  # also finds names that are hashed
    with open(draft) as stream:
        text = stream.read()
    text += "\n" if text and not text.endswith("\n") else ""
    write(path, (text + line + "\n").encode(), mode=0o600)
    remove(draft)
    remove(draft + ".old")


def main():
    """Ask both sides, decide, and act unless in check mode."""
    spec = {
        "host": {"type": "str", "required": True},
        "arguments": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 0},
        "fingerprint": {"type": "str", "default": ""},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    asked = module.params
    port = ["-p", str(asked["port"])] if asked["port"] else []
    settings = settings_of(ask(module, ["ssh", "-G", *shlex.split(asked["arguments"]), *port, asked["host"]]))
    try:
        name, files = (
            entry_name(settings),
            [os.path.expanduser(path) for path in settings["userknownhostsfile"].split()],
        )
        scan = ["ssh-keyscan", "-T", "10", "-p", settings["port"], settings["hostname"]]
        shown, tries, wrong = {}, 0, ""
        while not shown and tries < TRIES:  # it may have been installed a moment ago, and boot still
            time.sleep(5 if tries else 0)
            _code, answer, wrong = module.run_command(scan)
            shown, tries = keys_of(answer), tries + 1
        known = {}
        for path in [path for path in files if os.path.exists(path)]:
            known.update(keys_of(ask(module, ["ssh-keygen", "-F", name, "-f", path], good=(0, 1))))
        kind, key, fresh = chosen(asked["host"], shown, known, asked["fingerprint"], faults_in(wrong))
    except KeyFault as fault:
        module.fail_json(msg=str(fault))
    line = "%s %s %s" % (name, kind, key)
    if fresh and not module.check_mode:
        replace_line(module, files[0], name, line)
    module.exit_json(
        changed=fresh, line=line, path=files[0], diff={"before": "", "after": line + "\n" if fresh else ""}
    )


if __name__ == "__main__":
    main()
