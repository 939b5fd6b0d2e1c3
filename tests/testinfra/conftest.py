"""Shared by the verifiers of all scenarios: a failed test shows the journal; the address of a host."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Iterator[None]:
    """Print the journal of our units with a failed test: without it, a failure says too little."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "host" in getattr(item, "funcargs", {}):
        journal = item.funcargs["host"].run("journalctl --no-pager --lines=40 --unit='fastchat-*'").stdout
        report.sections.append(("journal", journal))


@pytest.fixture
def address(host: Any) -> str:
    """Return the host's own address, which services bind to."""
    return host.interface("eth0").addresses[0]
