"""The index of watched boundaries finds what the filters' own definition finds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from eventstore import Filter, FilterItem, P, RecordedEvent
from tests.unit.worker.tally import domain
from worker.load.watches import Watch, Watches

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


def watch(boundary: Filter) -> Watch:
    return Watch(boundary=boundary, decider=domain.deciders[0], state=None)


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
    boundaries=st.lists(filters, min_size=1, max_size=5),
    removed=st.integers(0, 4),
    log=st.lists(st.tuples(st.sampled_from(TYPES), payloads), min_size=1, max_size=12),
)
def test_finds_whom_an_event_concerns(
    boundaries: list[Filter], removed: int, log: list[tuple[str, dict[str, object]]]
) -> None:
    watches = Watches()
    watching = [watch(boundary) for boundary in boundaries]
    for each in watching:
        watches.add(each)
    for gone in watching[:removed]:
        watches.remove(gone)
    for number, (event_type, payload) in enumerate(log, start=1):
        event = recorded(number, event_type, payload)
        expected = {id(each) for each in watching[removed:] if each.boundary.holds(event)}
        assert {id(each) for each in watches.concerned(event)} == expected


@given(boundary=filters)
def test_nothing_is_left_of_what_is_removed(boundary: Filter) -> None:
    watches, one = Watches(), watch(boundary)
    watches.add(one)
    watches.remove(one)
    assert not watches._index
