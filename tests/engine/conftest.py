"""Run with .testbed/engine-env (testbed/environment.py): torch, safetensors and FastChat as the hosts have them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugins"))  # module_utils as Ansible nests it
