"""A database address that is none is refused without being quoted."""

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres.address import Address


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:secret/word@db:5432/events",
        "postgresql://app:secret#word@db/events",
        "postgresql://app:\u2100secret@db/events",
        "postgresql://app:[secret@db/events",
        "mysql://app:secret@db/events",
        "postgresql://app:secret@db:0/events",
        "postgresql://app:secret@a:1,b:65536/events",
        "secret",
    ],
)
def test_an_unusable_address_is_not_quoted(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match="the database address is not usable") as raised:
        Address.of(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:se%2Fcret@db:5432/events",
        "postgres:///events",
        "postgresql://app@[::1]:5432,b/events?sslmode=x",
    ],
)
def test_a_usable_address_is_left_to_the_driver(url: str) -> None:
    Address.of(url)
