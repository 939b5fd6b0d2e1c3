"""Containers that stand in for hosts: their images, their fleets, the layouts of both, and playbooks run over them."""
