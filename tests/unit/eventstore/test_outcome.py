from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore import ACCEPTED, START, InvalidRequest, Outcome, OutcomeKind, Receipt


def test_details_have_the_form_in_which_they_are_read_back() -> None:
    details = {"attempts": 1, "share": 0.1, "at": datetime(2026, 1, 5, tzinfo=UTC), "pair": (1, 2)}
    outcome = Outcome(kind=OutcomeKind.REJECTED, reason="no", details=details)
    kept = {"attempts": 1, "share": Decimal("0.1"), "at": "2026-01-05T00:00:00Z", "pair": [1, 2]}
    assert outcome.details == kept
    assert outcome == Outcome(kind=OutcomeKind.REJECTED, reason="no", details=kept)


def test_details_are_copied() -> None:
    details = {"list": [1]}
    outcome = Outcome(kind=OutcomeKind.ACCEPTED, details=details)
    details["list"].append(2)
    assert outcome.details == {"list": [1]}


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"reason": "a\x00b"}, "NUL character"),
        ({"reason": "a\ud800b"}, "lone surrogate"),
        ({"details": {"x": "\x00"}}, "NUL character"),
        ({"details": {"x": float("inf")}}, "Infinity"),
        ({"details": []}, "must be a JSON object"),
    ],
)
def test_details_that_cannot_be_stored_are_refused(parts: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidRequest, match=f"the outcome .*{fault}"):
        Outcome(kind=OutcomeKind.REJECTED, **parts)


def test_a_duplicate_is_the_same_receipt_marked() -> None:
    receipt = Receipt(key=UUID(int=1), outcome=ACCEPTED, first=1, last=2, position=START, recorded_at=None)
    duplicate = receipt.as_duplicate()
    assert duplicate.duplicate
    assert not receipt.duplicate
    assert duplicate != receipt
    assert (duplicate.key, duplicate.first, duplicate.last) == (receipt.key, 1, 2)


def test_a_kind_may_be_given_by_name_and_must_be_valid() -> None:
    named = Outcome(kind="rejected")  # type: ignore[arg-type]  # as in code without a type checker
    assert named.kind is OutcomeKind.REJECTED
    with pytest.raises(InvalidRequest, match="one of accepted, rejected, unchanged, not 'ignored'"):
        Outcome(kind="ignored")  # type: ignore[arg-type]  # likewise
