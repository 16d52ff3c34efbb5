"""Logs: one line for each notable event, with the trace and the command that it belongs to.

Errors need a person's attention. Warnings are about problems that end by themselves, or have ended. Everything else is
normal operation. No line contains a payload: messages and events may be private.
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
from worker.telemetry.untraced import UNTRACED

__all__ = ["concerning", "configure_logs", "repeat_seldom", "whereabouts"]

_NOTHING: Mapping[str, str] = {}
_concerned: ContextVar[Mapping[str, str]] = ContextVar("concerned", default=_NOTHING)
# Errors that a domain's code can cause without a frame of its own in the traceback.
_NAMES_CODE_ALONE = (InvalidParts, InvalidDecision, InvalidState, UnknownEventType)
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


def configure_logs(form: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Write logs to standard error, unless the embedding program has configured logging.

    Args:
        form: ``json`` for one object a line; ``human`` for readable lines, coloured on a terminal unless ``NO_COLOR``
            is set; ``auto`` for ``human`` on a terminal, and otherwise ``json``.
        level: The lowest level that is written.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    human = form == "human" or (form == "auto" and sys.stderr.isatty())
    repeat_seldom(handler)
    handler.setFormatter(_HumanLines(coloured=_takes_colour(sys.stderr)) if human else _JsonLines())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(level.upper())
    quieten_libraries()


def repeat_seldom(handler: logging.Handler | None = logging.lastResort) -> None:
    """Let a handler write each problem of the export of traces and metrics at most every ten minutes.

    Args:
        handler: The handler; by default the one that writes warnings where logs are not configured. Safe to repeat.
    """
    if handler is None or any(isinstance(each, _OnceInAWhile) for each in handler.filters):
        return
    for library in ("opentelemetry", "worker.telemetry"):
        handler.addFilter(_OnceInAWhile(library))


@contextmanager
def concerning(*, command_id: str | None, command_type: str | None, domain: str) -> Iterator[None]:
    """Add a command's fields to every line that is logged inside the ``with``.

    Args:
        command_id: The command's id, as received; None if it has none.
        command_type: The command's name, as received; None if it has none.
        domain: Name of the domain that it was sent to.
    """
    fields = {"command_id": command_id, "command_type": command_type, "domain": domain}
    token = _concerned.set({name: value for name, value in fields.items() if value})
    try:
        yield
    finally:
        _concerned.reset(token)


def whereabouts(failure: BaseException) -> str:
    """Return a failure's type and where it was raised: in a domain's own code, if that led to it.

    Its text may quote a payload, so it is left out; except for errors of the worker's own that contain names only. For
    validation errors of pydantic, the names of the fields are included.
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
    if context.is_valid and context is not UNTRACED:
        fields["trace_id"] = f"{context.trace_id:032x}"
        fields["span_id"] = f"{context.span_id:016x}"
    return fields


def _takes_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _OnceInAWhile(logging.Filter):
    """Lets a library, or a package of the worker, log each message once in ten minutes.

    Without it, an unreachable collector would be logged with every batch of spans.
    """

    _SECONDS = 600.0

    def __init__(self, library: str) -> None:
        super().__init__(library)
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # it is not from that library
        what = record.name, str(record.msg)
        if record.created - self._said.get(what, -self._SECONDS) < self._SECONDS:
            return False
        self._said[what] = record.created
        return True


class _JsonLines(logging.Formatter):
    """Writes a record as one line, whatever it contains: messages contain unchecked text from publishers.

    A record's ``data`` is included, for programs; human-readable lines leave it out.
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
    """Writes a readable line; only a traceback takes more lines."""

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
