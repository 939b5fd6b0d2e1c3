"""Move a release from host to host: torrents, plain http, rsync, and the processes that serve them."""
