"""Dead letters as tables on a terminal."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eventstore.counted import counted
from worker.cli.age import told
from worker.cli.dead_letters.scan import Kinds
from worker.cli.terminal import table, tell
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.selection import NO_ID
from worker.rounds.forwarding import ERROR_HEADER, TRACEBACK_HEADER

if TYPE_CHECKING:  # loading it is only worth it when a table is drawn
    from rich.table import Table

__all__ = ["kinds", "rows", "show_whole"]

_SHOWN_ABOVE = frozenset({ERROR_HEADER, TRACEBACK_HEADER})


def rows(letters: Iterable[DeadLetter], *, now: datetime, with_domain: bool = False) -> "Table":
    """Return a table of letters, one a line.

    Args:
        letters: The letters.
        now: The current time, for their ages.
        with_domain: Whether to include a column for the domain.
    """
    domain = ("domain",) if with_domain else ()
    listing = table("id", *domain, "command", "reason", "age", "attempts", "error")
    for letter in letters:
        listing.add_row(
            (letter.message_id or NO_ID) + ("" if letter.has_own_id or not letter.message_id else " (assigned)"),
            *((letter.domain_name,) if with_domain else ()),
            letter.command_type or "",
            letter.reason,
            "" if letter.died_at is None else told(now - letter.died_at),
            f"{letter.attempts:,}",
            letter.brief_error or "",
        )
    return listing


def kinds(counts: Kinds) -> "Table":
    """Return a table with the number of letters of each kind, the most frequent first."""
    summary = table("reason", "command", "letters")
    for (_, command, reason), count in counts.most_common():
        summary.add_row(reason, command, f"{count:,}")
    return summary


def show_whole(letter: DeadLetter) -> None:
    """Print everything about a letter."""
    facts = table("", "")
    facts.show_header = False
    rows: Mapping[str, str | None] = {
        "id": (letter.message_id or NO_ID) + ("" if letter.has_own_id else ", assigned by the worker"),
        "domain": letter.domain_name,
        "command": letter.command_type,
        "reason": letter.reason,
        "error": letter.error,
        "died at": _moment(letter.died_at),
        "known since": _moment(letter.published_at),
        "replayed at": _moment(letter.replayed_at),
        "attempts": f"{letter.attempts:,}",
        "trace": letter.trace_id,
        "correlation": letter.correlation_id,
        "reply to": letter.reply_to,
    }
    for name, text in rows.items():
        if text:
            facts.add_row(name, text)
    tell(facts)
    if letter.traceback:
        tell()
        _tell_lines(letter.traceback.rstrip())
    tell()
    tell("headers")
    for name in letter.headers:
        if name not in _SHOWN_ABOVE:
            tell(f"  {name}: {letter.headers[name]}")
    tell()
    tell(f"body, {counted(letter.size, 'byte')}")
    _tell_lines(letter.body.decode(errors="backslashreplace"))


def _tell_lines(text: str) -> None:
    for line in text.split("\n"):
        tell(line)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
