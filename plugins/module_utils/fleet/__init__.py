"""Say what is wrong with a whole fleet, and show it as a table. Plain data: nothing is read or written.

``inventory`` needs no host, ``preflight`` is before anything is installed. ``status`` is the fleet while it runs, with
``faults`` of each host and ``releases`` of hosts compared. ``tables`` lays rows out. It runs on the control node.
"""
