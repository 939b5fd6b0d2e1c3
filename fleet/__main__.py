"""``python -m fleet``: the same as the command ``fleet``, in a clone where nothing is installed."""

from fleet.cli import main

if __name__ == "__main__":
    main()
