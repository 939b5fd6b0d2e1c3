"""The compute capability of a GPU by the name of the product. Python 2.7 and 3; nothing is read here."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

# What stands behind a product's name and says nothing of its generation.
BEHIND = re.compile(
    r"[ -](PCI-?E|SXM\d*|DGXS|FHHL|NVL|LS|H|N|AC|\d+GB?|HBM\d\w*|Active|with Max-Q Design|Laptop GPU)$", re.IGNORECASE
)


def plain_name(name):
    """Return a product's name without maker, form and size: V100 for Tesla V100-SXM2-32GB; in lower case."""
    name = " ".join(name.split())
    for before in ("NVIDIA ", "Tesla "):
        name = name[len(before) :] if name.lower().startswith(before.lower()) else name
    while BEHIND.search(name):
        name = BEHIND.sub("", name)
    return name.lower()


def capability_of(name, capabilities):
    """Return the compute capability of a product, such as 7.0 for Tesla V100-SXM2-32GB; '' for an unknown one.

    ``capabilities`` is {capability: names}, as files/gpus.yml has it. Names must be the same as a whole.
    """
    wanted = plain_name(name)
    found = [one for one in capabilities if wanted in [plain_name(known) for known in capabilities[one]]]
    return found[0] if len(found) == 1 else ""
