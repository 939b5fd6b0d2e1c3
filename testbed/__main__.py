"""``python -m testbed up NAME [LAYOUT]`` (of ``layouts.yml``), ``down NAME``, or ``down`` for all of this clone."""

import shutil
import sys

from testbed.containers import fleet, images

USAGE = "usage: python -m testbed up NAME [LAYOUT] | down [NAME]"


def main(arguments: list[str]) -> None:
    """Bring up or take down; ``down`` needs nothing but the standard library, so it also works without ``.venv``."""
    match arguments:
        case ["up", name, *layout]:
            from testbed.containers.layouts import bring_up  # noqa: PLC0415  (needs .venv)

            bring_up(name, *layout)
        case ["down", name]:
            fleet.down(name)
        case ["down"]:
            for name in fleet.fleets():
                fleet.down(name)
            if shutil.which("podman"):
                images.remove()
        case _:
            sys.exit(USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
