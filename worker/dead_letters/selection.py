"""The selection: which dead letters are meant, and which of them a replay leaves where they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from worker.dead_letters.letter import DeadLetter, same_id

__all__ = ["NO_ID", "Judgement", "Rules", "Selection"]

NO_ID = "-"
"""What stands for the id of a letter that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant. All of its parts must fit; an empty part fits every letter.

    Attributes:
        ids: Message ids, in the form of ``same_id``, or ``NO_ID``.
        reasons: Reasons, one of which must be the letter's.
        commands: Command names, likewise.
        died_before: Only letters that died before that moment. One that does not say when it died is none of them.
        died_after: Only letters that died at that moment or later. The same.
    """

    ids: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    died_before: datetime | None = None
    died_after: datetime | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.ids or same_id(letter.message_id or NO_ID) in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.commands or letter.command_type in self.commands)
            and (self.died_before is None or (letter.died_at is not None and letter.died_at < self.died_before))
            and (self.died_after is None or (letter.died_at is not None and letter.died_at >= self.died_after))
        )


class Judgement(StrEnum):
    """What a replay does with a letter that is meant."""

    REPLAY = "replay"
    """Send it to the work queue."""
    JUST_REPLAYED = "just_replayed"
    """Leave it: this replay has sent it before, and it died again."""
    NO_OWN_ID = "no_own_id"
    """Leave it: its publisher gave it no id, so that it never was a command."""
    NO_ID = "no_id"
    """Leave it: it has no id at all, by which a second replay would be recognised."""
    FORGOTTEN = "forgotten"
    """Leave it: its receipt, if it had one, may have been deleted, and it would be decided once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a replay may send.

    Attributes:
        since: When the replay began, by the clock that stamps replayed messages.
        receipts_since: By domain, where receipts were deleted: those recorded before that moment may be gone.
        assign_ids: Whether letters without an id of their publisher's become commands under the id that we gave them.
        even_if_forgotten: Whether letters are sent although their receipts may have been deleted.
    """

    since: datetime
    receipts_since: Mapping[str, datetime] = field(default_factory=dict)
    assign_ids: bool = False
    even_if_forgotten: bool = False

    def judge(self, letter: DeadLetter) -> Judgement:
        """Say what becomes of a letter. The first reason to leave it is the one that is told."""
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
        # Whose age nobody knows may be of any age.
        return letter.published_at is None or letter.published_at < since
