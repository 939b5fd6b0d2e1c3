#!/usr/bin/python
"""Make target weights out of base and delta. Runs under the runtime's interpreter (Python 3.9 or newer, numpy)."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: weights_convert
short_description: Make target weights out of base and delta, or out of whole weights
description:
  - Adds base and delta tensor by tensor, with the bits of fastchat.model.apply_delta, in at most 1 GB of memory.
  - Runs under the runtime's own interpreter, which has numpy, and torch for large models. Runs no pickle.
  - Everything that does not fit together is refused before anything is written, in check mode too.
  - Writes beside the target and renames at the end. A run that was killed is taken up after its last finished file.
options:
  base:
    description: Directory of the base, or of the whole weights when there is no delta.
    type: path
    required: true
  delta:
    description: Directory of the delta. Configuration and tokenizer are taken from here.
    type: path
  target:
    description: Directory to make. C(<target>.part) beside it is used while it is made.
    type: path
    required: true
  output:
    description: Format of the target's weights.
    type: str
    choices: [safetensors, bin]
    default: safetensors
  shard_bytes:
    description: Largest file of weights.
    type: int
    default: 2000000000
  budget_bytes:
    description: Memory for tensors in flight. The interpreter, and torch, come on top.
    type: int
    default: 268435456
  good:
    description: Directory of an earlier conversion of the same inputs whose right files are not made again.
    type: path
    default: ""
  good_files:
    description: Size and sha256 of the files in O(good) that are right.
    type: dict
    default: {}
  threads:
    description: Threads that read and add. Without, one for each processor, at most 4.
    type: int
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Add the delta
  fastchat.fleet.weights_convert:
    base: /srv/fastchat/staging/m/base
    delta: /srv/fastchat/staging/m/delta
    target: /srv/fastchat/staging/m/target
  vars:
    ansible_python_interpreter: /opt/fastchat/env/bin/python

- name: Rewrite whole weights for a stack that reads only .bin
  fastchat.fleet.weights_convert:
    base: /srv/fastchat/staging/m/whole
    target: /srv/fastchat/staging/m/target
    output: bin
"""
RETURN = r"""
files:
  description: Size and sha256 of each file of the target, computed while it was written. Empty in check mode.
  type: dict
  returned: always
  sample: {"model.safetensors": {"size": 269060552, "sha256": "5af5"}}
size: {description: Bytes of the target's weights., type: int, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import (
    BUDGET_BYTES,
    SHARD_BYTES,
    convert,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError


def main():
    """Map arguments, check mode and errors onto the engine."""
    spec = {
        "base": {"type": "path", "required": True},
        "delta": {"type": "path"},
        "target": {"type": "path", "required": True},
        "output": {"type": "str", "choices": ["safetensors", "bin"], "default": "safetensors"},
        "shard_bytes": {"type": "int", "default": SHARD_BYTES},
        "budget_bytes": {"type": "int", "default": BUDGET_BYTES},
        "good": {"type": "path", "default": ""},
        "good_files": {"type": "dict", "default": {}},
        "threads": {"type": "int"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    options = dict((name, given[name]) for name in ("output", "shard_bytes", "budget_bytes", "threads"))
    options["good"] = (given["good"], given["good_files"])
    try:
        found = convert(given["base"], given["delta"], given["target"], check=module.check_mode, **options)
    except WeightsError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**found)


if __name__ == "__main__":
    main()
