"""Fixtures for all tests; see the modules named here."""

pytest_plugins = (
    "tests.fixtures.interrupts",
    "tests.fixtures.host",
    "tests.fixtures.scheduling",
    "tests.fixtures.databases",
    "tests.fixtures.vhosts",
    "tests.fixtures.failover",
    "tests.fixtures.secured",
)
