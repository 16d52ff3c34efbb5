"""The selection: which dead letters are meant, and which of them a replay leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from worker.dead_letters.letter import DeadLetter, same_id

__all__ = ["NO_ID", "Judgement", "Rules", "Selection"]

NO_ID = "-"
"""Stands for the id of a letter without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selects dead letters. A letter must match all fields; an empty field matches every letter.

    Attributes:
        ids: Message ids, in the form of ``same_id``, or ``NO_ID``.
        reasons: Reasons, of which the letter has one.
        commands: Command names, of which the letter has one.
        died_before: Only letters that were dead-lettered before this time, as far as they say when.
        died_after: Only letters that were dead-lettered at this time or later, as far as they say when.
    """

    ids: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    died_before: datetime | None = None
    died_after: datetime | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter is selected."""
        return (
            (not self.ids or same_id(letter.message_id or NO_ID) in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.commands or letter.command_type in self.commands)
            and (self.died_before is None or (letter.died_at is not None and letter.died_at < self.died_before))
            and (self.died_after is None or (letter.died_at is not None and letter.died_at >= self.died_after))
        )


class Judgement(StrEnum):
    """What a replay does with a selected letter."""

    REPLAY = "replay"
    """Send it to the work queue."""
    JUST_REPLAYED = "just_replayed"
    """Leave it: this replay has sent it already, and it failed again."""
    NO_OWN_ID = "no_own_id"
    """Leave it: its publisher set no id, so it never was a command."""
    NO_ID = "no_id"
    """Leave it: without an id, a second replay of it would not be recognised."""
    FORGOTTEN = "forgotten"
    """Leave it: its receipt may have been deleted, and it would be decided again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a replay.

    Attributes:
        since: When the replay began, by the clock that stamps replayed messages.
        receipts_since: For domains whose old receipts were deleted: the time from which on they are kept, by domain.
        assign_ids: Whether letters without a publisher's id become commands with the id that the worker assigned.
        even_if_forgotten: Whether letters are sent although their receipts may have been deleted.
    """

    since: datetime
    receipts_since: Mapping[str, datetime] = field(default_factory=dict)
    assign_ids: bool = False
    even_if_forgotten: bool = False

    def judge(self, letter: DeadLetter) -> Judgement:
        """Return what a replay does with a letter. If there are several reasons to leave it, the first counts."""
        if letter.replayed_at is not None and letter.replayed_at >= self.since:
            return Judgement.JUST_REPLAYED
        if letter.message_id is None:
            return Judgement.NO_ID
        if not letter.has_own_id and not self.assign_ids:
            return Judgement.NO_OWN_ID
        if not self.even_if_forgotten and self._is_forgotten(letter):
            return Judgement.FORGOTTEN
        return Judgement.REPLAY

    def _is_forgotten(self, letter: DeadLetter) -> bool:
        since = self.receipts_since.get(letter.domain_name)
        if since is None:
            return False
        # A letter of unknown age may be older.
        return letter.published_at is None or letter.published_at < since
