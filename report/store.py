"""The ledger's database, through ARA's own models: SQLite, readable by ARA's commands and server as well."""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

# A recorder holds the database for less than a second; whoever waits longer than this meets something else.
SECONDS = 30
# A writer asks for the lock before it reads: two of them then wait for each other and do not fail.
ADDRESS = {"timeout": SECONDS, "transaction_mode": "IMMEDIATE"}

settings.configure(
    INSTALLED_APPS=["ara.api"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "", "OPTIONS": ADDRESS}},
    USE_TZ=True,
    TIME_ZONE="UTC",
)
django.setup()

from ara.api import models  # noqa: E402  # Django must know its settings before

__all__ = ["models", "opened"]


def opened(database: Path, create: bool = False) -> None:
    """Let ARA's models (``ara.api.models``) lead to a database, which is made with mode 0600 where it is to be created.

    Raises FileNotFoundError when there is none, and django.db.DatabaseError when it can not be used.
    """
    if create:
        os.close(os.open(database, os.O_WRONLY | os.O_CREAT, 0o600))
    elif not database.is_file():
        raise FileNotFoundError(database)
    connections["default"].close()
    del connections["default"]
    connections.databases["default"]["NAME"] = str(database)
    # Also when it only reads: another version of ARA may have made it.
    call_command("migrate", verbosity=0, interactive=False)
