"""``python -m tests.support.tiny_playbook PLAYBOOK COMMAND ...``: fleet, with another playbook behind each command."""

import dataclasses
import sys

from fleet.commands import COMMANDS

if __name__ == "__main__":
    playbook = sys.argv.pop(1)
    COMMANDS.update({name: dataclasses.replace(command, playbook=playbook) for name, command in COMMANDS.items()})
    from fleet.cli import main

    main()
