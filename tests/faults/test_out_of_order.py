"""The audit of relayed events finds missing events and events out of order."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.followers import out_of_order

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RECORDED = {number: BEGAN + timedelta(seconds=number) for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("heard", "faults"),
    [
        ([1, 2, 3], []),
        ([1, 2, 1, 2, 3, 3], []),
        ([1, 3, 2], ["event 3 was relayed right behind 1", "event 3 of 3 was not relayed in its turn"]),
        ([1, 2], ["event 3 of 3 was not relayed in its turn"]),
        ([2, 3], ["event 2 was relayed right behind 0", "event 1 of 3 was not relayed in its turn"]),
        ([1, 2, 3, 5], ["event 5 was relayed right behind 3"]),
    ],
)
def test_each_event_must_be_relayed_at_least_once_and_in_order(heard: list[int], faults: list[str]) -> None:
    assert out_of_order(RECORDED, [(number, BEGAN + timedelta(seconds=number)) for number in heard]) == faults


def test_an_event_of_a_lost_history_does_not_count_as_relayed() -> None:
    first, lost, third = (1, RECORDED[1]), (2, BEGAN), (3, RECORDED[3])
    assert out_of_order(RECORDED, [first, lost, (2, RECORDED[2]), third]) == []
    assert out_of_order(RECORDED, [first, lost, third]) == ["event 2 of 3 was not relayed in its turn"]
