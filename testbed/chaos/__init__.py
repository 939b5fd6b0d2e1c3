"""Faults, made on purpose under counted load: ``python -m testbed.chaos``. What each costs stands in docs/CHAOS.md."""
