"""How far behind the head a query may be and still be answered by a walk: learnt from what walks found."""

from typing import Any

import pytest

from eventstore import Filter, P
from eventstore.postgres.reads.tail_limit import LONGEST_TAIL, TailLimit

ANNA = Filter.matching().any_predicate_of(P("ReaderID", "anna"))
BERT = Filter.matching().any_predicate_of(P("ReaderID", "bert"))


def walk(passed: int, read: int) -> Any:
    """What a walk answers, among other rows."""
    return [(0, 5000, 17), (1, 4999, 16), (-1, 4998, 16), (-2, passed, read)]


def test_until_a_walk_has_told_all_events_may_have_to_be_read() -> None:
    assert TailLimit().of(ANNA) == 256


def test_the_fewer_events_are_read_the_further_a_walk_may_go() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(200, 50))
    assert limit.of(ANNA) == pytest.approx(4 * 256, rel=0.01)
    assert limit.of(BERT) == limit.of(ANNA)
    for _ in range(50):
        limit.learn(walk(200, 0))
    assert limit.of(ANNA) == LONGEST_TAIL


def test_a_change_of_the_mixture_is_learnt() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(4000, 1))
    assert limit.of(ANNA) == LONGEST_TAIL
    for _ in range(50):
        limit.learn(walk(200, 200))
    assert limit.of(ANNA) < 512


def test_what_did_not_walk_teaches_nothing() -> None:
    limit = TailLimit()
    for _ in range(50):
        limit.learn(walk(8, 2))
    taught = limit.of(ANNA)
    for _ in range(10_000):
        limit.learn(walk(0, 0))
        limit.learn([(0, 5000, 17)])  # type: ignore[list-item]  # rows are read by place alone
    assert limit.of(ANNA) == taught


def test_a_long_history_is_worth_a_long_walk() -> None:
    limit = TailLimit()
    limit.remember_long(ANNA.narrowed_above(5))
    assert (limit.of(ANNA.narrowed_above(9)), limit.of(BERT)) == (LONGEST_TAIL, 256)


def test_the_more_events_are_known_the_further_a_walk_may_go() -> None:
    limit = TailLimit()
    assert [limit.of(ANNA, known) for known in (10, 300, 2000, 100_000)] == [256, 256, 1400, LONGEST_TAIL]
