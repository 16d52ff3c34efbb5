"""The limit for reading the tail of the log instead of an index, learnt from earlier tail reads."""

from typing import Any

import pytest

from eventstore import Filter, P
from eventstore.postgres.reads.tail_limit import LONGEST_TAIL, TailLimit

ANNA = Filter.matching().any_predicate_of(P("ReaderID", "anna"))
BERT = Filter.matching().any_predicate_of(P("ReaderID", "bert"))


def walk(passed: int, read: int) -> Any:
    """The row of a tail read, among other rows."""
    return [(0, 5000, 17), (1, 4999, 16), (-1, 4998, 16), (-2, passed, read)]


def test_before_the_first_walk_every_event_is_assumed_to_match() -> None:
    assert TailLimit().of(ANNA) == 256


def test_the_fewer_events_match_the_longer_a_walk_may_be() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(200, 50))
    assert limit.of(ANNA) == pytest.approx(4 * 256, rel=0.01)
    assert limit.of(BERT) == limit.of(ANNA)
    for _ in range(50):
        limit.learn(walk(200, 0))
    assert limit.of(ANNA) == LONGEST_TAIL


def test_a_change_of_the_share_is_learnt() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(4000, 1))
    assert limit.of(ANNA) == LONGEST_TAIL
    for _ in range(50):
        limit.learn(walk(200, 200))
    assert limit.of(ANNA) < 512


def test_other_reads_do_not_change_the_limit() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(8, 2))
    taught = limit.of(ANNA)
    for _ in range(10_000):
        limit.learn(walk(0, 0))
        limit.learn([(0, 5000, 17)])  # type: ignore[list-item]  # rows are read by index only
    assert limit.of(ANNA) == taught


def test_a_long_history_is_worth_a_long_walk() -> None:
    limit = TailLimit()
    limit.remember_long(ANNA.narrowed_above(5))
    assert (limit.of(ANNA.narrowed_above(9)), limit.of(BERT)) == (LONGEST_TAIL, 256)


def test_the_more_events_are_known_the_longer_a_walk_may_be() -> None:
    limit = TailLimit()
    assert [limit.of(ANNA, known) for known in (10, 300, 2000, 100_000)] == [256, 256, 1400, LONGEST_TAIL]
