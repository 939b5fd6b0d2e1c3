"""The command ``fleet``: each of its commands is one playbook, which anybody can also run by hand."""
