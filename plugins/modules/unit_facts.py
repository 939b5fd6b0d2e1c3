#!/usr/bin/python
"""Report the units, plan, probe and models of a host."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: unit_facts
short_description: Say what a host serves, and with what
description:
  - Reads the state of the units fastchat-*, and what their processes started with; beside it what is written for them,
    the plan of the workers, what their probe said last, and which releases are published. Changes nothing.
options:
  folder: {description: Where units are., type: path, default: /etc/systemd/system}
  settings: {description: Where their environment files are., type: path, default: /etc/fastchat}
  plan: {description: Which workers this host has., type: path, default: /etc/fastchat/plan.json}
  probe: {description: What the probe said last., type: path, default: /run/fastchat/probe.json}
  weights: {description: Where models lie., type: path, default: /srv/fastchat}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  fastchat.fleet.unit_facts:
  register: found
"""
RETURN = r"""
units:
  description: >-
    For each unit: name, state, sub, result, loaded, enabled; runs and written, each with digest, env, model and
    release: what its process started with, and what the next one would.
  type: list
  elements: dict
  returned: always
plan: {description: 'Workers by unit: url, port, model, gpus, concurrency.', type: dict, returned: always}
probe: {description: 'By unit: state, failures, restarts, said, at.', type: dict, returned: always}
models: {description: 'By name: current, releases.', type: dict, returned: always}
clock: {description: Seconds since 1970., type: int, returned: always}
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.host.running import gather
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import Systemd


def main():
    """Map arguments onto the questions."""
    spec = {
        "folder": {"type": "path", "default": "/etc/systemd/system"},
        "settings": {"type": "path", "default": "/etc/fastchat"},
        "plan": {"type": "path", "default": "/etc/fastchat/plan.json"},
        "probe": {"type": "path", "default": "/run/fastchat/probe.json"},
        "weights": {"type": "path", "default": "/srv/fastchat"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        found = gather(Systemd(), module.params)
    except (RuntimeError, OSError, IOError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, clock=int(time.time()), **found)


if __name__ == "__main__":
    main()
