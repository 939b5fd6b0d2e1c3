"""Prints what the units said when a test fails: a red test without the journal tells nothing."""

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed and "host" in getattr(item, "funcargs", {}):
        journal = item.funcargs["host"].run("journalctl --no-pager --lines=40 --unit='fastchat-*'").stdout
        report.sections.append(("journal", journal))


@pytest.fixture
def address(host):
    """The host's own address, which services bind to."""
    return host.interface("eth0").addresses[0]
