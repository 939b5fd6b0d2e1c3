"""Check the descriptions of models, stacks and environments; each fault is one sentence.

``rules`` is what all of them share. ``models`` and ``stacks`` (with the environments beside them) are files of those
names. Plain data: nothing is read or written. It runs on the control node.
"""
