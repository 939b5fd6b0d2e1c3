"""Checks that need no host: would a stack's libraries load on a glibc, and would systemd 219 take a unit."""
