"""Fixtures for all tests; see the modules named here."""

pytest_plugins = (
    "tests.support.fixtures.interrupts",
    "tests.support.fixtures.unhurried",
    "tests.support.fixtures.host",
    "tests.support.fixtures.scheduling",
    "tests.support.fixtures.databases",
    "tests.support.fixtures.second_database",
    "tests.support.fixtures.vhosts",
    "tests.support.fixtures.failover",
    "tests.support.fixtures.secured",
)
