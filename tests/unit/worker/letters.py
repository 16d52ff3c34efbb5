"""Dead letters for the tests of replays and listings."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.amqp.sender import Properties
from worker.dead_letters.letter import DeadLetter
from worker.topology import Topology

TALLY = Topology("tally")
ID = "2f1f4a5e-8d6c-4b7a-9e3d-0c1b2a3f4e5d"
DIED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def letter(headers: Mapping[str, Any] | None = None, *, body: bytes = b"{}", **properties: Any) -> DeadLetter:
    """A letter that a worker dead-lettered for a handler's bug, with the given differences."""
    worker = {"worker-reason": "handler_error", "worker-failed-at": DIED.isoformat()}
    chosen: dict[str, Any] = {"message_id": ID, "message_type": "Count"} | properties
    read = Properties(**chosen, headers=worker | dict(headers or {}))
    return DeadLetter.read(read, body, TALLY)
