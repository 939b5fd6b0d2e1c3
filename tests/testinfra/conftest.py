from testbed.journal import address, pytest_runtest_makereport  # noqa: F401  (pytest takes them from here)
