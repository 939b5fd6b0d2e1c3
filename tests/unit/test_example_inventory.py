import json
import subprocess
from pathlib import Path

from fleet import inventory_faults

ROOT = Path(__file__).resolve().parents[2]


def test_what_operators_copy_is_sound():
    command = ["ansible-inventory", "-i", str(ROOT / "inventory" / "example"), "--list"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    groups = {name: listed[name]["hosts"] for name in ("controllers", "workers")}
    assert len(groups["workers"]) == 8
    for host, variables in listed["_meta"]["hostvars"].items():
        assert inventory_faults({**variables, "groups": groups}, str(ROOT)) == [], host
