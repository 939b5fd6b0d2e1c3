"""What several suites share."""

import pytest

from testbed.tools import BROWSER, ensure
from tests.support.browser import Browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Yield a headless Chromium, for pages of ours."""
    ensure(BROWSER)
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
