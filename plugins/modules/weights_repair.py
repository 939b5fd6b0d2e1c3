#!/usr/bin/python
"""Make only the damaged files of a release again. Runs under the runtime's interpreter (Python >= 3.9, numpy)."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: weights_repair
short_description: Make the damaged files of a release again, alone
description:
  - Fetches the small files of the sources, and of their weights only those that the damaged files are made from. Makes
    the damaged files of them and puts each in its place when all have the sha256 that the release's manifest says.
  - Else nothing of the release is touched, O(ignore:repaired) is false and a warning says why; the caller then makes
    the whole release anew.
  - Nothing is fetched that is in O(staging) already; a run that was killed is taken up where it stopped.
  - In check mode nothing is done and success is assumed.
options:
  root: {description: The model's directory., type: path, required: true}
  digest: {description: Name of the release., type: str, required: true}
  damaged: {description: Its damaged files., type: list, elements: str, required: true}
  staging: {description: Where sources are fetched to; the releases' file system., type: path, required: true}
  sources: {description: "Sources of weights_fetch: base and delta, or whole.", type: dict, required: true}
  revisions: {description: What the sources' revisions stand for., type: dict, default: {}}
  patches: {description: "Keys to set in JSON files, for base, delta, whole and target.", type: dict, default: {}}
  output:
    description: Format of the release's weights.
    type: str
    choices: [safetensors, bin]
    default: safetensors
  workers: {description: Files fetched at a time., type: int, default: 8}
  token: {description: Secret for the sources' own host., type: str}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Repair one file
  fastchat.fleet.weights_repair:
    root: /srv/fastchat/models/m
    digest: 0f3a
    damaged: [tokenizer.json]
    staging: /srv/fastchat/staging/m
    sources: {whole: {url: https://huggingface.co/lmsys/vicuna-7b-v1.5, revision: main}}
  vars:
    ansible_python_interpreter: /opt/fastchat/env/bin/python
"""
RETURN = r"""
repaired: {description: Whether the release is whole now., type: bool, returned: always}
made: {description: Files that were made again., type: list, elements: str, returned: always}
fetched: {description: Files of weights that were needed by source., type: dict, returned: always}
bytes_fetched: {description: Bytes that came., type: int, returned: always}
reason: {description: Why everything must be made again; one sentence., type: str, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.errors import FetchError
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
from ansible_collections.fastchat.fleet.plugins.module_utils.release.repair import Job, repair, summary
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError


def main():
    """Map arguments, check mode and errors onto repair."""
    spec = {
        "root": {"type": "path", "required": True},
        "digest": {"type": "str", "required": True},
        "damaged": {"type": "list", "elements": "str", "required": True},
        "staging": {"type": "path", "required": True},
        "sources": {"type": "dict", "required": True},
        "revisions": {"type": "dict", "default": {}},
        "patches": {"type": "dict", "default": {}},
        "output": {"type": "str", "choices": ["safetensors", "bin"], "default": "safetensors"},
        "workers": {"type": "int", "default": 8},
        "token": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    if module.check_mode:
        msg = "Would be made again: %s." % ", ".join(given["damaged"])
        module.exit_json(
            changed=True, repaired=True, made=given["damaged"], fetched={}, bytes_fetched=0, reason="", msg=msg
        )
    sources = {
        name: dict(source, revision=given["revisions"].get(name, source.get("revision", "")))
        for name, source in given["sources"].items()
    }
    job = Job(given["root"], given["digest"], given["staging"], sources, given["patches"], given["output"])
    try:
        found = repair(job, given["damaged"], Options(workers=given["workers"], token=given["token"] or ""))
    except (FetchError, WeightsError, OSError) as error:
        module.fail_json(msg=str(error))
    if found["reason"]:
        module.warn(found["reason"])
    module.exit_json(changed=found["repaired"], msg=found["reason"] or summary(found), **found)


if __name__ == "__main__":
    main()
