"""Archived rows: events as complete texts, and the checksum of many of them."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ArchivedRow", "RowSum"]


class ArchivedRow(NamedTuple):
    """One archived event.

    Attributes:
        number: The event's sequence number.
        token: The event's token.
        event_type: The event's type.
        occurred: When the event occurred, in microseconds since 1970.
        payload: The payload, as PostgreSQL writes it.
        metadata: The metadata, as PostgreSQL writes it.
    """

    number: int
    token: int
    event_type: str
    occurred: int
    payload: str
    metadata: str


class RowSum:
    """The sum of rows, computed as ``archive_sum_v1`` does in the database.

    Attributes:
        events: The number of rows added.
        total: The sum of the rows' hashes.
        last: The sequence number of the last row, 0 before the first.
    """

    def __init__(self) -> None:
        self.events = 0
        self.total = 0
        self.last = 0

    @property
    def checksum(self) -> str:
        """The sum as text, the form in which it is compared."""
        return str(self.total)

    def add(self, rows: Iterable[ArchivedRow]) -> None:
        """Add rows, whose sequence numbers ascend."""
        for row in rows:
            text = (
                f"{row.number} {row.token} {row.occurred} {len(row.event_type)} {len(row.payload)} "
                f"{row.event_type}{row.payload}{row.metadata}"
            )
            digest = hashlib.sha256(text.encode()).digest()
            self.total += int.from_bytes(digest[:8], "big", signed=True)
            self.events += 1
            self.last = row.number
