"""A domain's code is told from ours, and whatever it raises can be judged, told and put into words."""

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
def test_what_is_no_exception_or_cannot_be_told_becomes_one_that_can(raised: BaseException, text: str) -> None:
    watchdog, before = Watchdog(), contexts.get_current()
    with pytest.raises(HandlerCrashed) as crash, UserCode(watchdog, "Count", contexts.set_value("a", 1)):
        raise raised
    assert (str(crash.value), crash.value.__cause__) == (text, raised)
    assert (watchdog.command, contexts.get_current()) == (None, before)
