#!/usr/bin/python
"""Fetch weights from a git-lfs repository, a hub, a list of URLs or a directory. Wants Python 3.6 or newer."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: weights_fetch
short_description: Fetch weights, each file once, resumed, checked
description:
  - Brings a directory to what a source has at a revision. Each file is appended to C(<name>.part), hashed as it comes,
    synced and renamed; a killed run is gone on with at the byte where it stopped. No file is on the disk twice.
  - Wants Python 3.6 or newer on the host, and C(git) for the kind C(git_lfs); git-lfs is not needed.
  - Credentials come from O(token), from C(HF_TOKEN) (kind C(hub)), or from C(~/.netrc) or C(NETRC).
    They go to the source's own host only.
  - While it runs, C(<dest>.progress) says how far it is, as one JSON object that is replaced each second.
options:
  source:
    description: Where the weights come from; a source of files/models/*.yml.
    type: dict
    suboptions:
      kind: {description: What it is., type: str, choices: [git_lfs, hub, http, path], default: git_lfs}
      url: {description: "The repository, its name on the hub, the list's base, or the directory.", type: str}
      revision: {description: "Commit, tag or branch (git_lfs, hub).", type: str}
      files:
        description:
          - Shell patterns of the files wanted, C(!pattern) for unwanted ones; all when empty.
          - For the kind C(http), the list of C({name, sha256, url, size}); C(url) and C(size) may be left out.
        type: list
        elements: raw
      sha256: {description: "Sums by file name that are checked whatever the source says.", type: dict}
      endpoint: {description: "Mirror of the hub, instead of HF_ENDPOINT.", type: str}
      bytes: {description: "About how much it is; for people, not read.", type: int}
  sources:
    description: With O(resolve_only), sources that are asked in one call; each is as O(source), with its C(name).
    type: list
    elements: dict
  dest: {description: The directory. Not wanted with O(resolve_only)., type: path}
  only:
    description:
      - Shell patterns of the source's files to fetch now. Others stay as they are, and a later run without it fetches
        them. A pattern that names nothing is no error. Without it, all are fetched.
    type: list
    elements: str
  resolve_only: {description: Only say which commit the revision stands for., type: bool, default: false}
  workers: {description: Files fetched at a time., type: int, default: 8}
  retries: {description: Attempts after the first that gain less than 1 MiB., type: int, default: 5}
  timeout: {description: Seconds without a byte after which a connection counts as dead., type: int, default: 60}
  lock_wait: {description: Seconds to wait for a run that a killed playbook left., type: int, default: 3600}
  token: {description: Secret for the source's own host., type: str}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Fetch Vicuna, pinned
  fastchat.fleet.weights_fetch:
    source: {url: https://huggingface.co/lmsys/vicuna-7b-v1.5, revision: 3321f76e3f527bd14065daf69dad9344000a201d}
    dest: /srv/fastchat/staging/vicuna-7b-v1.5/whole

- name: Ask which commit a branch stands for
  fastchat.fleet.weights_fetch:
    source: {url: https://huggingface.co/lmsys/vicuna-7b-v1.5, revision: main}
    resolve_only: true
"""
RETURN = r"""
revision: {description: "The commit; for http and path, a digest of the list.", type: str, returned: with source}
revisions: {description: "{name: revision} of O(sources).", type: dict, returned: with sources}
files: {description: "{name: {size, sha256}}; in check mode sha256 may be ''.", type: dict, returned: with dest}
bytes_total: {description: Bytes of all files., type: int, returned: with dest}
bytes_fetched: {description: "Bytes that came; in check mode, that would come.", type: int, returned: with dest}
seconds: {description: Wall time., type: float, returned: with dest}
names: {description: "All files that the source has for us, with O(only) too.", type: list, returned: with dest}
"""

import sys

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch, resolve
    from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.errors import FetchError
    from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
except (ImportError, SyntaxError):  # Python 2.7, which is refused below in a sentence
    fetch = None

SOURCE = {
    "kind": {"type": "str", "choices": ["git_lfs", "hub", "http", "path"], "default": "git_lfs"},
    "url": {"type": "str"},
    "revision": {"type": "str"},
    "files": {"type": "list", "elements": "raw"},
    "sha256": {"type": "dict"},
    "endpoint": {"type": "str"},
    "bytes": {"type": "int"},
}


def main():
    """Map arguments, check mode and errors onto fetch."""
    spec = {
        "source": {"type": "dict", "options": SOURCE},
        "sources": {
            "type": "list",
            "elements": "dict",
            "options": dict(SOURCE, name={"type": "str", "required": True}),
        },
        "dest": {"type": "path"},
        "only": {"type": "list", "elements": "str"},
        "resolve_only": {"type": "bool", "default": False},
        "workers": {"type": "int", "default": 8},
        "retries": {"type": "int", "default": 5},
        "timeout": {"type": "int", "default": 60},
        "lock_wait": {"type": "int", "default": 3600},
        "token": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(
        argument_spec=spec,
        supports_check_mode=True,
        required_if=[("resolve_only", False, ("source", "dest"))],
        required_one_of=[("source", "sources")],
        mutually_exclusive=[("source", "sources")],
    )
    if fetch is None:
        module.fail_json(
            msg="Python here is %s, weights_fetch wants 3.6 or newer: set ansible_python_interpreter to the runtime's."
            % sys.version.split()[0]
        )
    options = Options(
        workers=module.params["workers"],
        retries=module.params["retries"],
        timeout=module.params["timeout"],
        lock_wait=module.params["lock_wait"],
        token=module.params["token"] or "",
        check_mode=module.check_mode,
        only=None if module.params["only"] is None else tuple(module.params["only"]),
    )
    try:
        if module.params["sources"]:
            said = dict((source.pop("name"), resolve(source, options)) for source in module.params["sources"])
            module.exit_json(changed=False, revisions=said)
        if module.params["resolve_only"]:
            module.exit_json(changed=False, revision=resolve(module.params["source"], options))
        module.exit_json(**fetch(module.params["source"], module.params["dest"], options))
    except FetchError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
