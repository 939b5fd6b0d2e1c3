"""Decide which stack and which workers a host gets. Arithmetic over plain data: nothing is read or written."""
