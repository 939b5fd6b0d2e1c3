"""Move a release from host to host: torrents, plain http, rsync, and the processes that serve them.

``serve``, ``receive``, ``processes`` and ``users`` write, each only to the directories that it is given. ``torrent``,
``aria2`` and ``content`` write nothing. ``web_server`` is a program whose text is copied to the host that serves.
"""
