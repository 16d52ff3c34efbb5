"""Exceptions of a domain's code are recognized as such, and can always be judged and printed."""

import pytest
from opentelemetry import context as contexts

from handlers import HandlerCrashed
from worker.rounds.user_code import UserCode
from worker.rounds.watchdog import Watchdog


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Mute(), "Mute, which cannot say what it is"),
    ],
)
def test_base_exceptions_and_unprintable_exceptions_are_replaced(raised: BaseException, text: str) -> None:
    watchdog, before = Watchdog(), contexts.get_current()
    with pytest.raises(HandlerCrashed) as crash, UserCode(watchdog, "Count", contexts.set_value("a", 1)):
        raise raised
    assert (str(crash.value), crash.value.__cause__) == (text, raised)
    assert (watchdog.command, contexts.get_current()) == (None, before)
