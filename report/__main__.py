"""``python -m report [--run N] [--out FILE]``: write a run of the ledger as a page; ``--list`` shows the runs."""

import argparse
import os
import sys
from pathlib import Path

from django.db import DatabaseError

from report.collection import PROJECT, spool
from report.page import report
from report.record import settle
from report.runs import listed
from report.store import opened
from report.timeline import spoken


def options(arguments: list[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    # Another command may have this one as a part, and says so in its name.
    name = "python -m report" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    parser = argparse.ArgumentParser(prog=name, description="Write a run of the ledger as one page.")
    ledger = os.environ.get("FLEET_LEDGER", "")
    parser.add_argument("--ledger", default=ledger, help="directory (default: .fleet/ledger)")
    parser.add_argument("--run", type=int, help="number of the run (default: the newest)")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: report.html)")
    parser.add_argument("--list", action="store_true", help="list the runs and write nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> str:
    """Do it and return what to print. Exits with one sentence when it can not be done."""
    wanted = options(arguments)
    ledger = spool.directory(wanted.ledger, PROJECT)
    if ledger is None:
        sys.exit("The ledger is off (FLEET_LEDGER), so there is no run to report. Name its directory with --ledger.")
    database = ledger / spool.DATABASE
    try:
        if ledger.is_dir():
            settled(ledger)
        if wanted.list:
            opened(database)
            return "\n".join(
                f"{run['id']:>4}  {run['started'].astimezone():%Y-%m-%d %H:%M}  {run['status']:<9}  "
                f"{spoken(run['seconds']):>12}  {run['hosts']:>4} hosts  {run['name']}"
                for run in listed()
            )
        return f"{report(database, wanted.out, wanted.run)}"
    except FileNotFoundError as fault:
        if str(database) not in str(fault):
            sys.exit(f"{wanted.out} can not be written: {fault}.")
        sys.exit(f"There is no ledger in {ledger}: no playbook was run yet, or it is kept elsewhere (--ledger).")
    except LookupError as fault:
        sys.exit(str(fault.args[0]))
    except DatabaseError as fault:
        sys.exit(f"{database} can not be read: {fault}. If it is damaged, remove it; the next run begins a new one.")
    except OSError as fault:
        sys.exit(f"{wanted.out} can not be written: {fault}.")


def settled(ledger: Path) -> None:
    """Record what waits, if that is possible; a ledger that can only be read is shown as it is."""
    try:
        settle(ledger)
    except (OSError, DatabaseError) as fault:
        print(f"Runs that ended last may be missing: {fault}.", file=sys.stderr)
    if said := spool.take_fault(ledger):
        print(said, file=sys.stderr)


if __name__ == "__main__":
    print(main())
