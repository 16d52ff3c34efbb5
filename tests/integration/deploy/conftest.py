"""A guard for servers that are started the way ``compose.yaml`` starts them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.account import Account
from deploy.local.binaries import copy_postgres, postgres_folder
from deploy.local.guard import Guard


@pytest.fixture
def guard() -> Iterator[Guard]:
    """Starts programs as the servers' account; afterwards, all of them and their files are gone."""
    guard = Guard(Account.for_servers())
    try:
        yield guard
    finally:
        guard.close()


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """The folder of PostgreSQL 18's programs, where the servers' account can run them."""
    guard = Guard(Account.for_servers())
    try:
        yield copy_postgres(postgres_folder(), guard.folder / "programs") / "bin"
    finally:
        guard.close()
