"""``python -m testbed up NAME``, ``down NAME``, or ``down`` for every fleet of this clone."""

import sys

from testbed import fleet

USAGE = "usage: python -m testbed up NAME | down [NAME]"


def main(arguments: list[str]) -> None:
    """Bring up or take down; ``down`` needs nothing but the standard library, so it also works without ``.venv``."""
    match arguments:
        case ["up", name]:
            from testbed.demo import bring_up  # noqa: PLC0415  (needs .venv)

            bring_up(name)
        case ["down", name]:
            fleet.down(name)
        case ["down"]:
            for name in fleet.fleets():
                fleet.down(name)
            fleet.remove_images()
        case _:
            sys.exit(USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
