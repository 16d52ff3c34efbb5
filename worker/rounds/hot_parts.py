"""The hot parts: which parts most commands read, and lose over."""

import heapq
from dataclasses import dataclass

from worker.rounds.part_entry import PartEntry

__all__ = ["HotPart", "HotParts"]

# So many commands that read a part make it as hot as one conflict there: a conflict costs a decision, and a rest.
_CONFLICT_HEAT = 10
# So many parts are counted between two calls: who is in a thousandth of all commands is almost certainly among them.
_MOST_WARM = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPart:
    """A part that many commands read in a while.

    Attributes:
        view: Its view's name.
        key: Its key, as a JSON array.
        commands: How many commands read it.
        conflicts: How many decisions on it were out of date when they were to be recorded.
    """

    view: str
    key: str
    commands: int
    conflicts: int

    @property
    def heat(self) -> int:
        """What tells a hot part from one that is not."""
        return _heat(self)


class HotParts:
    """Counts what is done with parts, since somebody has asked for it."""

    def __init__(self) -> None:
        # Those that are not cold; each is in it once.
        self._warm: list[PartEntry] | None = None

    def note_command(self, entry: PartEntry) -> None:
        """Note that a command reads a part."""
        if self._warm is not None and (entry.commands or self._has_warmed(entry)):
            entry.commands += 1

    def note_conflict(self, entry: PartEntry) -> None:
        """Note that a decision on a part was out of date."""
        if self._warm is not None and (entry.commands or self._has_warmed(entry)):
            entry.conflicts += 1

    def take(self, most: int) -> list[HotPart]:
        """Return the parts that most commands have read since the last call; a conflict counts as ten of them.

        Nothing is counted before the first call. Of very many parts, only those are counted that came first: a hot one
        is among them, and neither time nor memory grows with the rest.
        """
        warm, self._warm = self._warm or [], []
        hottest = [
            HotPart(
                view=entry.part.view.name,
                key=entry.part.identity.key,
                commands=entry.commands,
                conflicts=entry.conflicts,
            )
            for entry in heapq.nlargest(most, warm, key=_heat)
        ]
        for entry in warm:
            entry.commands = entry.conflicts = 0
        return hottest

    def _has_warmed(self, entry: PartEntry) -> bool:
        """Have a part counted, if it is not; return whether it is."""
        if entry.conflicts:
            return True
        if self._warm is None or len(self._warm) >= _MOST_WARM:
            return False
        self._warm.append(entry)
        return True


def _heat(part: HotPart | PartEntry) -> int:
    return part.commands + _CONFLICT_HEAT * part.conflicts
