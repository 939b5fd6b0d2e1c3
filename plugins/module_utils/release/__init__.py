"""The published weights of a model: manifest, history, publishing, repair, and what may be removed from a host.

``publish`` and ``repair`` write below one model's directory and its staging, ``leftovers`` removes what is unused,
``manifest`` notes times; ``history``, ``json_patch`` and ``plan`` write nothing.
"""
