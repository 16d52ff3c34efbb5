"""The model's oracle: folds the whole log and returns violations. It shares no code with the worker."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from eventstore import Receipt, RecordedEvent

Read = tuple[str, int, str]
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Unfoldable(Exception):
    """The log cannot be folded to a state."""


def lies_in(read: Read, event: RecordedEvent) -> bool:
    name, number, text = read
    k, j = event.payload["k"], event.payload["j"]
    match name:
        case "key":
            return bool(k == number)
        case "type":
            return event.type == "Marked"
        case "both":
            return bool(j == text and (k == number or event.type == "Marked"))
        case "since":
            return bool(k == number and event.sequence_number > int(text))
        case "until":
            return bool(k == number and event.occurred_at <= _EPOCH + timedelta(milliseconds=int(text)))
        case _:
            return bool(k == number and event.type == "Moved")


def fold(read: Read, log: Sequence[RecordedEvent]) -> int:
    state = 0
    for event in log:
        if lies_in(read, event):
            if read[0] == "brittle" and event.payload["v"] == 13:
                raise Unfoldable
            state = (3 * state + 7 * event.payload["v"] + (event.type == "Marked")) % 11
    return state


def seen_by(reads: Sequence[Read], log: Sequence[RecordedEvent]) -> int:
    seen = 1
    for read in reads:
        seen = (seen * 11 + fold(read, log)) % 1_000_003
    return seen


def wrong_in(receipt: Receipt, body: dict[str, Any], log: Sequence[RecordedEvent]) -> str | None:
    """Return the violations of an answer, given the whole log."""
    number = receipt.first - 1 if receipt.first is not None else receipt.position.number
    prefix = log[:number]
    try:
        seen = seen_by(_reads(body), prefix)
    except Unfoldable:
        return f"decided at {number} on what cannot be folded"
    if body["raises"] and seen % 4 == 0:
        return f"its decider raises at {number}, and did not"
    writes = body["writes"]
    kind, events = {0: ("unchanged", []), 1: ("rejected", writes[:1])}.get(seen % 6, ("accepted", writes))
    if kind == "accepted" and not writes:
        kind = "unchanged"
    recorded = [] if receipt.first is None else log[receipt.first - 1 : receipt.last]
    found = [[e.type, e.payload["k"], e.payload["j"], e.payload["v"]] for e in recorded]
    if receipt.outcome.kind.value != kind or found != [list(each) for each in events]:
        return f"at {number} it is {kind} with {events}, and it says {receipt.outcome.kind.value} with {found}"
    if kind == "rejected" and receipt.outcome.reason != str(seen):
        return f"at {number} it saw {receipt.outcome.reason} instead of {seen}"
    if any(event.payload["seen"] != seen for event in recorded):
        return f"at {number} it saw {[event.payload['seen'] for event in recorded]} instead of {seen}"
    return None


def may_raise(body: dict[str, Any], log: Sequence[RecordedEvent]) -> bool:
    """Return whether a command fails in its own or a view's code at some position of this log."""
    reads = _reads(body)
    for number in range(len(log) + 1):
        try:
            seen = seen_by(reads, log[:number])
            if body["raises"] and seen % 4 == 0:
                return True
            # Its own parts must be able to fold its events.
            own = body["writes"][:1] if seen % 6 == 1 else body["writes"] if seen % 6 else []
            if any(
                name == "brittle" and w[0] == "Moved" and w[1] == k and w[3] == 13 for name, k, _ in reads for w in own
            ):
                return True
        except Unfoldable:
            return True
    return False


def _reads(body: dict[str, Any]) -> list[Read]:
    return list(dict.fromkeys((name, number, text) for name, number, text in body["reads"]))
