"""A domain's affinity: the affinity key of a command, and invalid domains."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest

from handlers import InvalidDomain, InvalidKey
from handlers.kind import kind_of
from tests.support.domains.jars import Drop, domain

COMMAND = Drop(jar="j1", coin=1)


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    LOW = 1


def test_a_domain_has_no_affinity_unless_it_says_so() -> None:
    assert domain.shards is None
    assert domain.affinity_key(COMMAND) is None


def test_a_command_has_an_affinity_key() -> None:
    by_jar = replace(domain, affinity=lambda command: command.jar)
    assert by_jar.shards == 8
    assert by_jar.affinity_key(COMMAND) == "j1"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("tea", "tea"),
        ("", ""),
        (True, "true"),
        (1, "1"),
        (Decimal("1.0"), "1"),
        (Decimal("0.50"), "0.5"),
        (2**70, str(2**70)),
        (UUID("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        (date(2026, 2, 3), "2026-02-03"),
        (Colour.RED, "red"),
        (Level.LOW, "1"),
    ],
)
def test_a_key_has_one_text(key: Any, text: str) -> None:
    assert replace(domain, affinity=lambda _: key).affinity_key(COMMAND) == text


@pytest.mark.parametrize("key", [None, 1.5, b"tea", ["tea"], "a\x00b", "\ud800"])
def test_an_invalid_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidKey, match=f"returns {kind_of(key)} for Drop: use a str"):
        replace(domain, affinity=lambda _: key).affinity_key(COMMAND)


def test_an_exception_of_the_function_is_not_hidden() -> None:
    with pytest.raises(AttributeError):
        replace(domain, affinity=lambda command: command.shelf).affinity_key(COMMAND)


@pytest.mark.parametrize("shards", [0, -1, 129, True, "8", 2.0])
def test_an_invalid_number_of_shards_is_refused(shards: Any) -> None:
    with pytest.raises(InvalidDomain, match="can have 1 to 128 shards"):
        replace(domain, affinity=lambda command: command.jar, shards=shards)


def test_shards_without_affinity_are_refused() -> None:
    with pytest.raises(InvalidDomain, match="has shards, but no affinity"):
        replace(domain, shards=4)


def test_an_affinity_is_a_function() -> None:
    wrong: Any = "jar"
    with pytest.raises(InvalidDomain, match="needs a function as its affinity, not a str"):
        replace(domain, affinity=wrong)

    async def later(_: Drop) -> str:
        return "jar"

    unawaited: Any = later
    with pytest.raises(InvalidDomain, match="needs a function as its affinity, and this one is async"):
        replace(domain, affinity=unawaited)
