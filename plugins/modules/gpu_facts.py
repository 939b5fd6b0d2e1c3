#!/usr/bin/python
"""Ask a host's NVIDIA driver about its GPUs."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: gpu_facts
short_description: Ask a host's NVIDIA driver about its GPUs
description:
  - Reads C(nvidia-smi -q), the kernel module's version and the PCI bus; changes nothing.
  - A host without GPUs gives an empty result. A broken driver does not fail the task, so that a fleet's check can name
    all faults at once; C(fault) says in one sentence what is wrong.
options:
  nvidia_smi: {description: Path of nvidia-smi; looked up in PATH when empty., type: str, default: ''}
  timeout: {description: Seconds for each call of nvidia-smi; a GPU that hangs never answers., type: int, default: 60}
  capabilities:
    description:
      - Names of products by compute capability (files/gpus.yml), for drivers that can not be asked.
    type: dict
    default: {}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  fastchat.fleet.gpu_facts:
  register: found
"""
RETURN = r"""
count: {description: Number of GPUs that the driver sees and that are not lost., type: int, returned: always}
driver: {description: The driver's version., type: str, returned: always, sample: 550.127.05}
cuda: {description: The newest CUDA that this driver supports by itself., type: str, returned: always, sample: '12.4'}
gpus:
  description:
    - 'For each GPU: name, uuid, bus, lost (the driver''s words when it fell off the bus), unreadable (what nvidia-smi
      could not read of it), verdicts (what the driver says against it), inforom_corrupted (nvidia-smi warns of it),
      compute_mode (who may use it, such as Exclusive_Process), memory_mb, memory_used_mb,
      compute_capability, persistence_mode, mig_mode, mig_devices (how many instances it is cut into), ecc_mode,
      ecc_uncorrected (volatile, aggregate), retired_pages (single_bit, double_bit, pending), remapped_rows
      (correctable, uncorrectable, pending, failed), cpus (beside it, such as 0-11,24-35), numa_node. Null stands for
      what the card or the driver does not have.'
  type: list
  elements: dict
  returned: always
topology: {description: 'How each pair is connected: {GPU0: {GPU1: NV2}}.', type: dict, returned: always}
pci: {description: PCI addresses of NVIDIA display controllers., type: list, elements: str, returned: always}
fault: {description: One sentence when the driver does not work., type: str, returned: always}
hint: {description: One sentence when there are cards and no driver., type: str, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import GPU_OPTIONS, gpus_of


def main():
    """Map arguments onto the questions."""
    module = AnsibleModule(argument_spec=GPU_OPTIONS, supports_check_mode=True)
    module.exit_json(changed=False, **gpus_of(module, module.params))


if __name__ == "__main__":
    main()
