"""The history's index finds what the filter's own definition finds, at every point of the past."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Filter, FilterItem, P, RecordedEvent
from worker.load.history import History

START = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ("A", "B", "C")
VALUES = (1, "1", True, False, 0, Decimal("1.0"), Decimal("0.5"), None, [1])
SCALARS = (1, "1", True, False, 0, Decimal("1.0"), Decimal("0.5"))

payloads = st.dictionaries(st.sampled_from(("x", "y")), st.sampled_from(VALUES))
predicates = st.builds(P, st.sampled_from(("x", "y")), st.sampled_from(SCALARS))
items = st.builds(
    FilterItem,
    event_types=st.lists(st.sampled_from(TYPES), unique=True).map(tuple),
    predicates=st.lists(predicates, max_size=3, unique=True).map(tuple),
    all_predicates=st.booleans(),
)
moments = st.none() | st.integers(0, 12).map(lambda minutes: START + timedelta(minutes=minutes))
filters = st.builds(
    Filter,
    items=st.lists(items, min_size=1, max_size=3).map(tuple),
    since=moments,
    until=moments,
    above=st.integers(0, 5),
)


def recorded(number: int, event_type: str, payload: dict[str, object]) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=number,
        token=7,
        type=event_type,
        payload=payload,
        metadata={},
        occurred_at=START + timedelta(minutes=number),
    )


@given(
    log=st.lists(st.tuples(st.sampled_from(TYPES), payloads), max_size=12),
    boundary=filters,
    above=st.integers(0, 12),
    up_to=st.integers(0, 12),
)
def test_finds_what_the_filter_defines(
    log: list[tuple[str, dict[str, object]]], boundary: Filter, above: int, up_to: int
) -> None:
    history = History()
    for number, (event_type, payload) in enumerate(log, start=1):
        history.add(recorded(number, event_type, payload))
    up_to = min(up_to, history.head)

    found = [event.sequence_number for event in history.matching(boundary, above=above, up_to=up_to)]

    assert found == [
        event.sequence_number
        for event in history.events
        if above < event.sequence_number <= up_to
        and boundary.matches(
            event_type=event.type,
            payload=event.payload,
            occurred_at=event.occurred_at,
            sequence_number=event.sequence_number,
        )
    ]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_refuses_a_gap(number: int) -> None:
    history = History()
    history.add(recorded(1, "A", {}))
    with pytest.raises(ValueError, match="stands where number 2 belongs"):
        history.add(recorded(number, "A", {}))
