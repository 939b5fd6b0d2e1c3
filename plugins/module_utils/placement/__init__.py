"""Decide which stack and which workers a host gets. Arithmetic over plain data: nothing is read or written.

``stacks`` chooses the stack, ``models`` says what a host serves. ``plan`` is the whole plan of a host's workers:
``needs`` is the arithmetic of memory, ``hosts`` the GPUs and the wish, ``health`` which GPUs are fit, ``deal`` who gets
which of them, ``operator_instances`` an operator's own list, ``instances`` one worker, ``refusals`` why something can
not be. It runs on the control node.
"""
