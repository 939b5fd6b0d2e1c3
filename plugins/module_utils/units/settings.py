"""The settings of a unit's environment file, and the digest by which a process is known to be out of date."""

import hashlib
import json
from typing import Any

FIXED = {
    "LOGDIR": "",  # turns FastChat's log files off, because the journal has everything
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "*",
}
# These keys describe health checks, with which a process does not start.
ASKED = ("gates",)


def digest_of(inputs: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits of the sha256 over inputs as canonical JSON (sorted keys)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def settings_of(unit: dict[str, Any], template: str, texts: dict[str, str]) -> dict[str, Any]:
    """Return {name: value} of a unit's environment file, in the order in which they are written.

    ``unit`` is complete, as the filter ``service_units`` returns it; ``template`` is the text of the unit's template;
    ``texts`` are its programs by file name.

    FASTCHAT_DIGEST comes first: it covers all of these, so a process that started with another value is out of date. On
    the host the module ``service_units`` adds to it where the links point that the unit follows.
    """
    inputs = {
        "unit": {name: value for name, value in unit.items() if name not in ASKED},
        "template": template,
        "programs": texts,
    }
    return {"FASTCHAT_DIGEST": digest_of(inputs), **dict(sorted(unit["environment"].items())), **FIXED}


def unit_wanted(unit: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a unit as the module ``service_units`` takes it; ``settings`` are those of ``settings_of``."""
    name, digest = f"fastchat-{unit['name']}.service", settings["FASTCHAT_DIGEST"]
    return {
        "name": name,
        "gates": unit["gates"],
        "socket": unit["socket"],
        "digest": digest,
        "follows": unit["follows"],
    }
