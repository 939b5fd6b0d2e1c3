"""Decide which stack and which workers a host gets. Arithmetic over plain data: nothing is read or written.

``stacks`` chooses the stack, ``models`` says what a host serves. ``plan`` is the whole of the workers' plan: ``needs``
is the arithmetic of memory, ``hosts`` the GPUs and the wish, ``deal`` who gets which GPUs, ``listed`` an operator's own
list, ``refusals`` why something can not be. It runs on the control node.
"""
