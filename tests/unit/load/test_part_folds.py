"""The folds of a replay: each part is folded once, few events are kept, and none after its last command."""

from collections.abc import Sequence
from datetime import UTC, datetime

from eventstore import RecordedEvent
from handlers import Part
from tests.support.domains.tally import Count, Counted, Tally, domain, tally
from worker.load.part_fold import PartFold
from worker.load.part_folds import PartFolds


class Noted:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.events: list[RecordedEvent] = []

    def __call__(self, text: str, *, events: Sequence[RecordedEvent] = ()) -> None:
        self.texts.append(text)
        self.events += events


def counted(number: int, key: str) -> RecordedEvent:
    return RecordedEvent(
        sequence_number=number,
        token=7,
        type="Counted",
        payload={"Key": key},
        metadata={},
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def take(folds: PartFolds, number: int, key: str) -> list[PartFold]:
    event = counted(number, key)
    found = folds.holding(event)
    for fold in found:
        folds.take(fold, event, Counted(key=key))
    return found


def parts(*keys: str) -> tuple[Part[Tally], ...]:
    return tuple(tally.at(key) for key in keys)


def test_a_part_is_folded_once_for_all_its_readers() -> None:
    folds = PartFolds(Noted())
    first, second = folds.expect(domain, parts("a", "b")), folds.expect(domain, parts("b"))
    assert second[0] is first[1]
    assert take(folds, 1, "b") == [second[0]]
    assert folds.states(first, parts("a", "b")) == {tally.at("a"): Tally(0), tally.at("b"): Tally(1)}


def test_a_part_is_dropped_after_its_last_command() -> None:
    folds = PartFolds(Noted())
    first, second = folds.expect(domain, parts("a", "b")), folds.expect(domain, parts("b"))
    folds.release(first)
    assert len(folds) == 1
    assert take(folds, 1, "a") == []
    assert len(take(folds, 2, "b")) == 1
    folds.release(second)
    assert len(folds) == 0
    assert take(folds, 3, "b") == []


def test_few_events_are_kept_and_long_parts_fold_to_the_same() -> None:
    noted = Noted()
    folds = PartFolds(noted, most_kept=3)
    (one,), (other,) = folds.expect(domain, parts("a")), folds.expect(domain, parts("b"))
    for number in range(1, 5):
        take(folds, number, "ab"[number % 2])
    # The fourth event exceeds the limit: its part keeps no events any more.
    assert (one.facts, other.facts) == (None, [Counted(key="b")] * 2)
    assert folds.states([one, other], parts("a", "b")) == dict.fromkeys(parts("a", "b"), Tally(2))
    for number in range(5, 60):
        take(folds, number, "b")
    assert (other.facts, other.count, noted.texts) == (None, 57, [])


def test_a_state_shared_with_another_part_is_reported() -> None:
    noted = Noted()
    folds = PartFolds(noted)
    (fold,) = folds.expect(domain, parts("a"))
    take(folds, 1, "a")
    fold.state = Tally(7)
    # The decision uses a separate fold of the events.
    assert folds.states([fold], parts("a")) == {tally.at("a"): Tally(1)}
    assert noted.texts[0].startswith("tally.at('a') is another state when it is folded by itself")


def test_a_decision_is_made_on_the_folded_state() -> None:
    folds = PartFolds(Noted())
    decider = domain.decider("Count")
    assert folds.decided(decider, Count(key="a"), [Tally(0)]) == decider.decide(Count(key="a"), Tally(0))
