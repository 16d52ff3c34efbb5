import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from tests.support.domains.sharded import domain
from tests.support.domains.tally import Count
from tests.support.domains.tally import domain as tally
from worker.counters import Counters
from worker.placement import Placement

COMMAND = Count(key="a")


def test_a_command_with_the_right_key_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    Placement(domain, counters).check({"affinity-key": "a"}, COMMAND)
    Placement(tally, counters).check({}, COMMAND)
    assert (counters.misplaced, caplog.messages) == (0, [])


@pytest.mark.parametrize("headers", [{}, {"affinity-key": "b"}, {"affinity-key": 1}])
def test_a_command_with_another_key_is_counted_and_logged_once(
    headers: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    placement = Placement(domain, counters)
    for _ in range(3):
        placement.check(headers, COMMAND)
    assert counters.misplaced == 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "commands of tally, such as this Count, come with the header affinity-key missing or wrong: set it to the "
        "key's text, see docs/messages.md"
    )


def ends(_: Any) -> NoReturn:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("affinity", "told"),
    [(lambda command: command.shelf, "AttributeError"), (ends, "HandlerCrashed")],
)
def test_a_failing_affinity_function_is_logged_and_fails_no_command(
    affinity: Callable[[Any], str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    Placement(replace(domain, affinity=affinity), counters).check({"affinity-key": "a"}, COMMAND)
    assert counters.misplaced == 1
    assert f"have no key: the affinity raises {told}" in caplog.text
