"""Run with .testbed/engine-env (testbed/environment.py): torch, safetensors and FastChat as the hosts have them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
