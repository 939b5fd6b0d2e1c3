"""Bring a model's files from git-lfs, a hub, a web server or a path, resumed at any byte and checked by sha256.

The room asks servers, and writes below the directory that it fetches into. Beside that directory it keeps, while it
runs, ``<dest>.progress`` and git's pointers in ``<dest>.git-*``. Only engine.py, task.py, state.py, progress.py,
git_lfs.py and git_remote.py write.
"""
