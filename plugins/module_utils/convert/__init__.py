"""Add a delta to a base. Only writers.py and staging.py write to the disk: beside the target, until it is finished."""
