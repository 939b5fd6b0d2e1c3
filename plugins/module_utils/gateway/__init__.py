"""The gateway's files on its host: certificate, keys, and what nginx tries before it is current. Python 2.7 and 3."""
