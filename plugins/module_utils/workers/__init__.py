"""Turn planned workers into the commands and units that run them. Plain data: nothing is read or written.

``units`` is what the role installs, ``commands`` the command line by FastChat's version, ``vllm`` what differs where
the stack has vLLM. It runs on the control node.
"""
