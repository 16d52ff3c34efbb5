"""Archived rows: events as texts that say all of them, and what many of them add up to."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ArchivedRow", "RowSum"]


class ArchivedRow(NamedTuple):
    """One event.

    Attributes:
        number: Its sequence number.
        token: Its token.
        event_type: Its type.
        occurred: When it occurred, in microseconds since 1970.
        payload: Its payload, as PostgreSQL writes it.
        metadata: Its metadata, likewise.
    """

    number: int
    token: int
    event_type: str
    occurred: int
    payload: str
    metadata: str


class RowSum:
    """What rows add up to, as ``archive_sum_v1`` does it in the database.

    Attributes:
        events: How many there were.
        total: What they add up to.
        last: The last one's number, 0 before the first.
    """

    def __init__(self) -> None:
        self.events = 0
        self.total = 0
        self.last = 0

    @property
    def checksum(self) -> str:
        """The sum, as it is compared."""
        return str(self.total)

    def add(self, rows: Iterable[ArchivedRow]) -> None:
        """Add rows, whose numbers ascend."""
        for row in rows:
            text = (
                f"{row.number} {row.token} {row.occurred} {len(row.event_type)} {len(row.payload)} "
                f"{row.event_type}{row.payload}{row.metadata}"
            )
            digest = hashlib.sha256(text.encode()).digest()
            self.total += int.from_bytes(digest[:8], "big", signed=True)
            self.events += 1
            self.last = row.number
