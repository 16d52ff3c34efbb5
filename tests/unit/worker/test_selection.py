"""The selection of dead letters, and the letters that a replay skips."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.worker.letters import DIED, ID, TALLY, letter
from worker.dead_letters.selection import NO_ID, Judgement, Rules, Selection

SECOND = timedelta(seconds=1)
NOTHING_TOLD = {"worker-failed-at": "", "worker-first-failure": ""}


@pytest.mark.parametrize(
    ("selection", "fits"),
    [
        (Selection(), True),
        (Selection(ids=frozenset({ID})), True),
        (Selection(ids=frozenset({"other"})), False),
        (Selection(reasons=frozenset({"handler_error", "other"})), True),
        (Selection(reasons=frozenset({"other"})), False),
        (Selection(commands=frozenset({"Count"})), True),
        (Selection(commands=frozenset({"count"})), False),
        (Selection(died_before=DIED + SECOND), True),
        (Selection(died_before=DIED), False),
        (Selection(died_after=DIED), True),
        (Selection(died_after=DIED + SECOND), False),
        # All criteria must match.
        (Selection(reasons=frozenset({"handler_error"}), commands=frozenset({"other"})), False),
        (Selection(commands=frozenset({"Count"}), died_after=DIED, died_before=DIED + SECOND), True),
    ],
)
def test_a_letter_is_selected_if_every_criterion_matches(selection: Selection, fits: bool) -> None:  # noqa: FBT001  a parametrised case
    assert selection.fits(letter()) is fits


def test_ids_match_in_any_spelling_and_a_missing_id_can_be_selected() -> None:
    assert Selection(ids=frozenset({ID})).fits(letter(message_id=ID.upper()))
    assert Selection(ids=frozenset({NO_ID})).fits(letter(message_id=None))
    assert not Selection(ids=frozenset({ID})).fits(letter(message_id=None))


@pytest.mark.parametrize("bound", ["died_before", "died_after"])
def test_a_letter_without_a_time_has_no_age(bound: str) -> None:
    moment: Any = {bound: DIED}
    assert not Selection(**moment).fits(letter(NOTHING_TOLD))


def judged(headers: dict[str, Any] | None = None, *, rules: dict[str, Any] | None = None, **properties: Any) -> str:
    return Rules(**({"since": DIED + SECOND} | (rules or {}))).judge(letter(headers, **properties)).value


def test_a_letter_is_replayed_unless_there_is_a_reason_to_skip_it() -> None:
    assert judged() == Judgement.REPLAY


def test_a_letter_without_its_own_id_is_replayed_only_on_request() -> None:
    assigned = {"worker-assigned-id": True}
    assert judged(assigned) == Judgement.NO_OWN_ID
    assert judged(assigned, rules={"assign_ids": True}) == Judgement.REPLAY
    # A duplicate of it could not be recognised.
    assert judged(message_id=None, rules={"assign_ids": True}) == Judgement.NO_ID


@pytest.mark.parametrize(
    ("published", "judgement"),
    [(DIED - 2 * SECOND, Judgement.FORGOTTEN), (DIED - SECOND, Judgement.REPLAY), (None, Judgement.REPLAY)],
)
def test_a_letter_whose_receipt_may_be_deleted_is_skipped(published: datetime | None, judgement: Judgement) -> None:
    rules = {"receipts_since": {TALLY.domain_name: DIED - SECOND}}
    assert judged(timestamp=published, rules=rules) == judgement
    assert judged(timestamp=published, rules={**rules, "even_if_forgotten": True}) == Judgement.REPLAY
    assert judged(timestamp=published) == Judgement.REPLAY
    # Another domain's receipts may be in another database.
    assert judged(timestamp=published, rules={"receipts_since": {"other": DIED}}) == Judgement.REPLAY


def test_a_letter_of_unknown_age_may_have_any_age() -> None:
    assert judged(NOTHING_TOLD, rules={"receipts_since": {TALLY.domain_name: DIED}}) == Judgement.FORGOTTEN
    assert judged(NOTHING_TOLD) == Judgement.REPLAY


def test_a_letter_sent_by_this_replay_is_not_sent_again() -> None:
    since = DIED + SECOND
    assert judged({"worker-replayed-at": since.isoformat()}) == Judgement.JUST_REPLAYED
    assert judged({"worker-replayed-at": (since - SECOND).isoformat()}) == Judgement.REPLAY
