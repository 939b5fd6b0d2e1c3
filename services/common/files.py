"""The one writer of files of our services."""

import json
import os


def replace_json(path, value, indent=None):
    """Replace a JSON file in one step: whoever reads it finds the old content or the new one.

    Nothing is synced, because that could hold up the service for seconds while the disk is busy. Whoever reads a file
    that should outlive a power cut must therefore be able to do without it.
    """
    part = path + ".part"
    with open(part, "w") as stream:
        json.dump(value, stream, indent=indent)
    os.replace(part, path)
