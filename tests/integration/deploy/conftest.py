"""A reaper for servers that are started the way ``compose.yaml`` starts them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.account import Account
from deploy.local.binaries import copy_postgres, postgres_folder
from deploy.local.reaper_client import ReaperClient


@pytest.fixture
def reaper() -> Iterator[ReaperClient]:
    """Starts programs as the servers' account; afterwards, all of them and their files are gone."""
    reaper = ReaperClient(Account.for_servers())
    try:
        yield reaper
    finally:
        reaper.close()


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """The folder of PostgreSQL 18's programs, where the servers' account can run them."""
    reaper = ReaperClient(Account.for_servers())
    try:
        yield copy_postgres(postgres_folder(), reaper.folder / "programs") / "bin"
    finally:
        reaper.close()
