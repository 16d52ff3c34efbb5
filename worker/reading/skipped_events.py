"""Skipped events: those that a follower leaves out, because a person has decided that."""

from collections.abc import Iterable

from eventstore import RecordedEvent
from worker.reading.followers import Skipped

__all__ = ["SkippedEvents"]


class SkippedEvents:
    """The events that a version of a follower skips. ``event in skipped`` tells whether an event is one of them.

    Another event may have the number of a skipped one after the log was rewritten: its token differs.

    Args:
        records: The records of the decisions.
    """

    def __init__(self, records: Iterable[Skipped] = ()) -> None:
        self._tokens = {record.number: record.token for record in records}

    def __contains__(self, event: RecordedEvent) -> bool:
        number = event.sequence_number
        return number in self._tokens and self._tokens[number] in {None, event.token}
