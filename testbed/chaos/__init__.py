"""Make faults on purpose under counted load: ``python -m testbed.chaos``. docs/CHAOS.md shows what each one costs."""
