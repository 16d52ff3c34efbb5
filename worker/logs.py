"""Logs: one JSON object a line, with the trace that it belongs to."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

from worker.printable import printable_json

__all__ = ["configure_logs", "quieten_libraries"]


def configure_logs(level: int = logging.INFO) -> None:
    """Write logs to standard error, unless the program that embeds us has set logging up itself."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(level)
    quieten_libraries()


def quieten_libraries() -> None:
    """Keep the libraries below from reporting every failed attempt to connect; what is wrong, we say once."""
    for name in ("aiormq", "aio_pika", "asyncpg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _JsonLines(logging.Formatter):
    """One line a record, whatever is in it: messages carry text from senders that nobody has checked."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(line, ensure_ascii=False))
