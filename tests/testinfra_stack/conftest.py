"""One host that is all of a fleet; prints what the units said when a test fails."""

import json

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


@pytest.fixture
def verdict(host):
    """What the verify phase left on the host: which model was asked what."""
    return json.loads(host.file("/var/lib/fastchat/verdict.json").content_string)
