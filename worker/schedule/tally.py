"""The tally: what a process did for a domain's schedule."""

from dataclasses import dataclass

__all__ = ["Tally"]


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """What a process did for a domain's schedule.

    Attributes:
        domain: The domain's name.
        stored: How many messages it stored that are to be sent later.
        cancelled: How many it took that cancel one.
        sent: How many commands it sent.
        late: For how many seconds a command has been due that is not sent yet, when it was last looked at.
    """

    domain: str
    stored: int = 0
    cancelled: int = 0
    sent: int = 0
    late: float = 0.0
