"""Complete a host's units, and work out their programs, settings and digests, on the control node.

``completion`` fills in the keys of a unit and refuses those that are missing or unknown. Reads services/, writes
nothing.
"""
