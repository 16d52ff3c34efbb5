"""The index from events to parts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from eventstore import Filter, FilterItem, P, RecordedEvent
from handlers import View
from tests.support.domains.tally import domain
from worker.load.part_fold import PartFold
from worker.load.part_index import PartIndex

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


def fold_of(found: Filter) -> PartFold:
    view = View(name="any", events=lambda: found, initial=lambda: None, evolve=lambda *_: None)
    return PartFold(domain, view.at(), None)


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
    filters=st.lists(filters, min_size=1, max_size=5),
    removed=st.integers(0, 4),
    log=st.lists(st.tuples(st.sampled_from(TYPES), payloads), min_size=1, max_size=12),
)
def test_it_finds_exactly_the_parts_whose_filters_match(
    filters: list[Filter], removed: int, log: list[tuple[str, dict[str, object]]]
) -> None:
    index, folds = PartIndex(), list(map(fold_of, filters))
    for fold in folds:
        index.add(fold)
    for gone in folds[:removed]:
        index.remove(gone)
    for number, (event_type, payload) in enumerate(log, start=1):
        event = recorded(number, event_type, payload)
        expected = {id(fold) for fold in folds[removed:] if fold.part.filter.holds(event)}
        assert {id(fold) for fold in index.holding(event)} == expected


@given(filters=st.lists(filters, min_size=1, max_size=5))
def test_removed_parts_leave_nothing_behind(filters: list[Filter]) -> None:
    index, folds = PartIndex(), list(map(fold_of, filters))
    for fold in folds:
        index.add(fold)
    for fold in folds:
        index.remove(fold)
    assert len(index) == 0
    assert not index._fields


def test_a_common_field_value_does_not_propose_all_parts() -> None:
    """The cost of an event depends on its own parts, not on the number of all parts."""
    index = PartIndex()
    for number in range(100):
        found = Filter.matching().all_predicates_of(P("shop", "main"), P("order", f"o-{number}"))
        index.add(fold_of(found))
    assert max(map(len, index._folds.values())) == 1
    event = recorded(1, "A", {"shop": "main", "order": "o-7"})
    assert len(list(index.holding(event))) == 1
