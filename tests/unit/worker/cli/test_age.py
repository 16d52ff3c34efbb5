from datetime import timedelta

import pytest

from worker.cli.age import age, told
from worker.failures import Mistake


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0s", timedelta()),
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("36h", timedelta(hours=36)),
        ("90d", timedelta(days=90)),
        ("12w", timedelta(weeks=12)),
    ],
)
def test_an_age_is_a_number_and_a_unit(text: str, meant: timedelta) -> None:
    assert age(text) == meant


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "90 d", "90D", "1y", "1h30m", "999999d"])
def test_an_invalid_age_is_reported(text: str) -> None:
    with pytest.raises(Mistake) as raised:
        age(text)
    assert str(raised.value) == (
        f"{text!r} is not an age: write seconds, minutes, hours, days or weeks, as in 30m, 36h, 90d or 12w."
    )


def test_units_that_are_too_small_are_refused() -> None:
    with pytest.raises(Mistake, match="write hours, days or weeks, as in 36h, 90d or 12w"):
        age("30m", units="hdw")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (59, "59s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172_799, "47h"),
        (10**6, "11d"),
    ],
)
def test_an_age_is_shown_in_one_unit(seconds: int, text: str) -> None:
    assert told(timedelta(seconds=seconds)) == text
