"""The tally: counts what a process did for a domain's schedule."""

from dataclasses import dataclass

__all__ = ["Tally"]


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """What a process did for a domain's schedule.

    Attributes:
        domain: The domain's name.
        stored: How many requests to send a command later it stored.
        cancelled: How many cancellations it stored.
        sent: How many commands it sent.
        late: For how many seconds a due command had not been sent at the last look; 0 if none was due.
    """

    domain: str
    stored: int = 0
    cancelled: int = 0
    sent: int = 0
    late: float = 0.0
