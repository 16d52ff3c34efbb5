import pytest
from pydantic import ValidationError

from handlers.decider import Accepted, Command, Decision, DomainEvent, Rejected, Unchanged
from tests.unit.handlers.lamps import Broke, SwitchedOn, SwitchOn, decider


def test_a_decider_is_named_after_its_command() -> None:
    assert decider.name == "SwitchOn"


def test_events_are_folded_in_their_order() -> None:
    on, broke = SwitchedOn(lamp="a", watts=5), Broke(lamp="a")
    assert decider.fold("off", [on, broke]) == "broken"
    assert decider.fold("off", [broke, on]) == "on"
    assert decider.fold("off", []) == "off"


def test_a_fold_can_be_carried_on_from_where_it_was() -> None:
    on, broke = SwitchedOn(lamp="a", watts=5), Broke(lamp="a")
    assert decider.fold(decider.fold("off", [on]), [broke]) == decider.fold("off", [on, broke])


def test_an_acceptance_without_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="one that has nothing to do is unchanged"):
        Accepted(events=())


def test_decisions_are_equal_by_what_they_say() -> None:
    on = SwitchedOn(lamp="a", watts=5)
    assert Accepted(events=(on,)) == Accepted(events=(SwitchedOn(lamp="a", watts=5),))
    assert Rejected(reason="no") != Rejected(reason="no", event=on)
    decisions: set[Decision] = {Rejected(reason="no"), Unchanged(), Unchanged()}
    assert len(decisions) == 2


@pytest.mark.parametrize("value", [SwitchOn(lamp="a"), SwitchedOn(lamp="a", watts=5)])
def test_commands_and_events_cannot_be_changed(value: Command | DomainEvent) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        value.lamp = "b"  # type: ignore[union-attr]  # that is the point
