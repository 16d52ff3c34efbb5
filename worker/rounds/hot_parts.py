"""The hot parts: the parts that most commands read and conflict on."""

import heapq
from dataclasses import dataclass

from worker.rounds.part_entry import PartEntry

__all__ = ["HotPart", "HotParts"]

# One conflict on a part counts as much as this many commands that read it: it costs a decision and a rest.
_CONFLICT_HEAT = 10
# The most parts counted between two calls: a part that a thousandth of all commands reads is almost surely included.
_MOST_WARM = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPart:
    """A part that many commands read between two calls of ``HotParts.take``.

    Attributes:
        view: Its view's name.
        key: Its key, as a JSON array.
        commands: How many commands read it.
        conflicts: How many decisions on it conflicted when they were recorded.
    """

    view: str
    key: str
    commands: int
    conflicts: int

    @property
    def heat(self) -> int:
        """The number that hot parts are ordered by."""
        return _heat(self)


class HotParts:
    """Counts the commands and conflicts of each part, from the first call of ``take`` on."""

    def __init__(self) -> None:
        # The parts that were read or conflicted on since the last call, each once.
        self._warm: list[PartEntry] | None = None

    def note_command(self, entry: PartEntry) -> None:
        """Note that a command reads a part."""
        if self._warm is not None and (entry.commands or self._has_warmed(entry)):
            entry.commands += 1

    def note_conflict(self, entry: PartEntry) -> None:
        """Note that a decision on a part conflicted."""
        if self._warm is not None and (entry.commands or self._has_warmed(entry)):
            entry.conflicts += 1

    def take(self, most: int) -> list[HotPart]:
        """Return the parts that most commands have read since the last call; a conflict counts as ten commands.

        Nothing is counted before the first call. If there are very many parts, only the first 4096 are counted. A hot
        part is among them, and neither time nor memory grows with the rest.
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
        """Begin to count a part, if there is room; return whether it is counted."""
        if entry.conflicts:
            return True
        if self._warm is None or len(self._warm) >= _MOST_WARM:
            return False
        self._warm.append(entry)
        return True


def _heat(part: HotPart | PartEntry) -> int:
    return part.commands + _CONFLICT_HEAT * part.conflicts
