"""Logs: one line for each thing that is worth a person's attention, with the trace and the command that it belongs to.

Errors are for a person to look at; warnings heal by themselves, or say that something has healed; the rest is the
course of things. No line holds a payload: what a message or an event brings may be private.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from opentelemetry import trace

from handlers.complaint import fields_of, headline_of
from handlers.errors import InvalidDecision, InvalidParts, InvalidState, UnknownEventType
from handlers.place import raised_at
from worker.printable import printable, printable_json
from worker.settings import LogFormat, LogLevel
from worker.telemetry.library_loggers import quieten_libraries

__all__ = ["concerning", "configure_logs", "whereabouts"]

_NOTHING: Mapping[str, str] = {}
_concerned: ContextVar[Mapping[str, str]] = ContextVar("concerned", default=_NOTHING)
# What a domain's code may cause without a line of its own that leads to it.
_NAMES_CODE_ALONE = (InvalidParts, InvalidDecision, InvalidState, UnknownEventType)
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


def configure_logs(form: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Write logs to standard error, unless the program that embeds us has set logging up itself.

    Args:
        form: ``json`` writes one object a line, ``human`` a line to read, coloured on a terminal unless ``NO_COLOR`` is
            set; ``auto`` chooses ``human`` on a terminal.
        level: The least level that is written.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    human = form == "human" or (form == "auto" and sys.stderr.isatty())
    handler.addFilter(_OnceInAWhile("opentelemetry"))
    handler.addFilter(_OnceInAWhile("worker.telemetry"))
    handler.setFormatter(_HumanLines(coloured=_takes_colour(sys.stderr)) if human else _JsonLines())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(level.upper())
    quieten_libraries()


@contextmanager
def concerning(*, command_id: str | None, command_type: str | None, domain: str) -> Iterator[None]:
    """Have every line that is written inside the ``with`` name a command.

    Args:
        command_id: Its id, as it came; None when it has none.
        command_type: Its name, likewise.
        domain: The domain that it was sent to.
    """
    fields = {"command_id": command_id, "command_type": command_type, "domain": domain}
    token = _concerned.set({name: value for name, value in fields.items() if value})
    try:
        yield
    finally:
        _concerned.reset(token)


def whereabouts(failure: BaseException) -> str:
    """Say what kind of failure it is and where it was raised, in a domain's own code if that led to it.

    Its text may quote a payload, so it is left out; unless it is ours, and names nothing but code. The fields are named
    of which pydantic complains.
    """
    fields = fields_of(failure)
    if raised_at(failure) is not None:
        return headline_of(failure) + (f": {fields}" if fields else "")
    kind = type(failure).__name__
    if isinstance(failure, _NAMES_CODE_ALONE):
        return f"{kind}: {failure}"
    frames = traceback.extract_tb(failure.__traceback__)
    return f"{kind} in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else kind


def _fields() -> dict[str, str]:
    fields = dict(_concerned.get())
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        fields["trace_id"] = f"{context.trace_id:032x}"
        fields["span_id"] = f"{context.span_id:016x}"
    return fields


def _takes_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _OnceInAWhile(logging.Filter):
    """Lets a library, or a package of ours, say each thing once in ten minutes.

    A collector that is away is met with every batch of spans.
    """

    _SECONDS = 600.0

    def __init__(self, library: str) -> None:
        super().__init__(library)
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # it is not that library's
        what = record.name, str(record.msg)
        if record.created - self._said.get(what, -self._SECONDS) < self._SECONDS:
            return False
        self._said[what] = record.created
        return True


class _JsonLines(logging.Formatter):
    """One line a record, whatever is in it: messages carry text from senders that nobody has checked.

    A record's ``data`` is for programs: lines to read leave it out.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_fields(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(line, ensure_ascii=False))


class _HumanLines(logging.Formatter):
    """A line to read; only a traceback takes more of them."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname.lower():<7}"
        if self._coloured and (colour := _COLOURS.get(record.levelno)) is not None:
            level = f"\x1b[{colour}m{level}\x1b[0m"
        fields = "".join(f"  {name}={printable(value)}" for name, value in _fields().items() if name != "span_id")
        line = f"{time} {level} {printable(record.getMessage())}{fields}"
        if record.exc_info:
            line += "\n" + printable(self.formatException(record.exc_info), lines=True)
        return line
