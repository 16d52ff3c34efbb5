"""Outcomes: the interface through which rounds report the results of their commands."""

from typing import Protocol

from eventstore import Receipt, TransientStoreError
from worker.rounds.job import Job

__all__ = ["Outcomes"]


class Outcomes(Protocol):
    """Gets the results of commands from the rounds."""

    def let_go(self, job: Job) -> bool:
        """Return whether a command has ended; end it first, without an answer, if its caller no longer waits."""

    def again(self, job: Job) -> None:
        """Have a command decided again after a state it was decided on was not recorded."""

    def read_first(self, job: Job) -> None:
        """Have the parts of a command read before it is decided."""

    def raised(self, job: Job, failure: Exception) -> None:
        """Handle an error that the domain's code raised for a command."""

    def failed(self, job: Job, failure: Exception) -> None:
        """End a command that cannot be decided, with its error."""

    def judged(self, job: Job, verdict: Receipt | Exception) -> None:
        """Handle the store's answer to a command."""

    def held_in_vain(self, job: Job, error: TransientStoreError) -> None:
        """Note that the store's lock was not acquired for a command, or not used in time."""
