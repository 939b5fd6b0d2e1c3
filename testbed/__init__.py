"""The testbed: containers that stand in for hosts, a model hub and a wheelhouse. The demo and the tests use it."""
