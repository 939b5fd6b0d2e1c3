"""Bring a model's files from git-lfs, a hub, a web server or a path, resumed at any byte and checked by sha256."""
