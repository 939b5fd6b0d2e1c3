"""The programs that run on hosts. Each package is one service: ``python -m services.api``.

On a host they are in /usr/local/lib/fastchat/services and run under the interpreter of its environment (Python 3.9 to
3.13). Nothing here imports Ansible or the plugins.
"""
