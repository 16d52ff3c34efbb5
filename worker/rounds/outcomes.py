"""Outcomes: who is told what became of commands in their rounds."""

from typing import Protocol

from eventstore import Receipt, TransientStoreError
from worker.rounds.job import Job

__all__ = ["Outcomes"]


class Outcomes(Protocol):
    """Who is told what became of commands."""

    def let_go(self, job: Job) -> bool:
        """Let go of a command that has ended, or whose end nobody would hear; say whether it is gone."""

    def again(self, job: Job) -> None:
        """Have a command decided again that was decided on what did not come about."""

    def read_first(self, job: Job) -> None:
        """Have a command's parts read before it is decided."""

    def raised(self, job: Job, failure: Exception) -> None:
        """Take what a command's own code raised."""

    def failed(self, job: Job, failure: Exception) -> None:
        """End a command that cannot be decided."""

    def judged(self, job: Job, verdict: Receipt | Exception) -> None:
        """Take what the store says of a command."""

    def held_in_vain(self, job: Job, error: TransientStoreError) -> None:
        """Take note that the store's lock was not had for a command, or not used in time."""
