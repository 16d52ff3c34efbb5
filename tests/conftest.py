"""Fixtures for all tests; see the modules named here."""

import os
from typing import get_args

import pytest

from eventstore.postgres import PostgresEventStore
from eventstore.postgres.drivers.choice import DriverName

pytest_plugins = (
    "tests.support.fixtures.garbage_collection",
    "tests.support.fixtures.interrupts",
    "tests.support.fixtures.process_cleanup",
    "tests.support.fixtures.hypothesis_profile",
    "tests.support.fixtures.host",
    "tests.support.fixtures.scheduling",
    "tests.support.fixtures.databases",
    "tests.support.fixtures.second_database",
    "tests.support.fixtures.vhosts",
    "tests.support.fixtures.brokers",
    "tests.support.fixtures.failover",
    "tests.support.fixtures.fork_server",
    "tests.support.fixtures.clocks",
    "tests.support.fixtures.secured",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for another PostgreSQL driver and for a program's own pools."""
    parser.addoption(
        "--driver", choices=get_args(DriverName), default="asyncpg", help="the PostgreSQL driver of stores and workers"
    )
    parser.addoption(
        "--pools", action="store_true", help="also run the contract over a program's own pools and engines"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the default driver, for processes through their environment."""
    driver = config.getoption("--driver")
    if driver != "asyncpg":
        os.environ["DATABASE_DRIVER"] = driver
        (PostgresEventStore.connect.__kwdefaults__ or {})["driver"] = driver
