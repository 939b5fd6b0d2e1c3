"""Merge a patch into a JSON object (RFC 7386 without deletion: null is a value here). Pure. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ..storage.files import json_bytes


def merged(document, patch):
    """Return a copy of a dict with a dict of changes merged in; nested dicts merge, everything else is replaced."""
    result = dict(document)
    for key, value in patch.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def patched(document, patch):
    """Return (whether the patch changes a JSON object, the patched object as the bytes of a JSON file)."""
    after = merged(document, patch)
    return after != document, json_bytes(after)
