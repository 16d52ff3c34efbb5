"""Selections: makes a filter of the event types, conditions and times of a command line."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from eventstore import Filter, InvalidFilter, P
from eventstore.filter import UnboundedFilter
from eventstore.jsontext import MAX_DIGITS
from eventstore.predicate import Predicate
from worker.failures import Mistake

__all__ = ["scalar", "selected"]

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def selected(
    types: Sequence[str], conditions: Sequence[str], *, any_condition: bool, since: str | None, until: str | None
) -> Filter:
    """Make a filter of the options that select events.

    Args:
        types: Event types, any of which matches; empty for every type.
        conditions: Conditions on the payload, each of the form ``Key=value``.
        any_condition: Whether one condition suffices; otherwise all must hold.
        since: The earliest time, inclusive: ``2026-01-05T10:00``, in UTC unless it has an offset, or ``15m`` ago.
        until: The latest time, inclusive, in the same forms.

    Raises:
        Mistake: An option has none of these forms, or the filter could match nothing.
    """
    try:
        predicates = [_predicate(text) for text in conditions]
        return _bounded(_items(types, predicates, needs_all=not any_condition), since, until)
    except InvalidFilter as error:
        raise Mistake(f"{error}.") from None


def _items(types: Sequence[str], predicates: Sequence[Predicate], *, needs_all: bool) -> UnboundedFilter:
    if not types and not predicates:
        return Filter.matching_any_event()
    if not types:
        begun = Filter.matching()
        return begun.all_predicates_of(*predicates) if needs_all else begun.any_predicate_of(*predicates)
    of_types = Filter.matching().any_event_type_of(*types)
    if not predicates:
        return of_types
    return of_types.and_all_predicates_of(*predicates) if needs_all else of_types.and_any_predicate_of(*predicates)


def _bounded(items: UnboundedFilter, since: str | None, until: str | None) -> Filter:
    if since is None:
        return items if until is None else items.occurred_until(_moment("--until", until))
    from_then = items.occurred_from(_moment("--since", since))
    return from_then if until is None else from_then.and_occurred_until(_moment("--until", until))


def _predicate(text: str) -> Predicate:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise Mistake(f"--where {text!r} is no condition: write Key=value, where the value is JSON, as in Edition=2.")
    return P(key, scalar(f"--where {text!r}", value))


def scalar(what: str, text: str) -> str | bool | int | Decimal:
    """Parse a value for a predicate: as JSON if it is JSON, otherwise as text.

    Args:
        what: The option that has the value, for the message.
        text: The value.

    Raises:
        Mistake: It begins like JSON but is not, or it is not a scalar.
    """
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=str)
    except InvalidOperation:
        raise Mistake(f"{what}: a number has at most {MAX_DIGITS:,} digits.") from None
    except (ValueError, RecursionError):
        if text[:1] in {'"', "[", "{"}:
            raise Mistake(f"{what}: the value begins like JSON and is none.") from None
        return text
    if not isinstance(found, str | bool | int | Decimal):
        raise Mistake(f"{what}: a value is a string, a number, true or false.")
    return found


def _moment(option: str, text: str) -> datetime:
    if (match := _AGO.fullmatch(text)) is not None:
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            raise Mistake(f"{option} {text}: the calendar does not reach back so far.") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        forms = "write 2026-01-05T10:00, or an age such as 15m, 36h, 7d"
        raise Mistake(f"{option} {text!r} is not a time: {forms}.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
