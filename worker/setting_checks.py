"""Checks of settings beyond their types and limits.

Each check raises a ``ValueError`` that says what is allowed, and does not quote the value.
"""

import base64

from worker.address_form import AMQP_EXAMPLE, check_amqp, check_port
from worker.database_addresses import EXAMPLES

__all__ = [
    "FORMS",
    "check_amqp",
    "check_http",
    "check_interval",
    "check_keys",
    "check_metrics_page",
    "check_password",
    "check_trace_page",
]

FORMS = {
    **EXAMPLES,
    "projections_url": EXAMPLES["database_url"],
    "amqp_url": AMQP_EXAMPLE,
    "worker_domains": "module:attribute, such as handlers.library:domain for the example",
    "rabbitmq_management_url": "http://user:password@host:15672",
}
"""A valid example of each address that must be set."""

_HTTP_SCHEMES = frozenset({"http", "https"})
_MASTER_KEY_BYTES = 32
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 0.1, 60.0
_SHORTEST_PASSWORD = 12


def check_http(value: str) -> None:
    """Check that an address is one of RabbitMQ's management interface."""
    check_port(value, _HTTP_SCHEMES, FORMS["rabbitmq_management_url"])


def check_trace_page(value: str) -> None:
    """Check that an address contains the placeholder for a trace's id."""
    if value and not (value.startswith(("http://", "https://")) and value.count("{trace_id}") == 1):
        raise ValueError("it must have the form http://localhost:16686/trace/{trace_id}, with {trace_id} as it is")


def check_metrics_page(value: str) -> None:
    """Check that an address is that of a web page."""
    check_port(value, _HTTP_SCHEMES, "http://localhost:9090")


def check_interval(value: float) -> None:
    """Check that the interval of reports is neither too short nor too long."""
    if value and not _SHORTEST_INTERVAL <= value <= _LONGEST_INTERVAL:
        raise ValueError(f"it must be 0, or between {_SHORTEST_INTERVAL:g} and {_LONGEST_INTERVAL:g}")


def check_password(value: str) -> None:
    """Check that a password is not too short."""
    if value and len(value) < _SHORTEST_PASSWORD:
        raise ValueError(
            f"it must have {_SHORTEST_PASSWORD} characters at least, as `openssl rand -base64 18` makes them"
        )


def check_keys(value: tuple[str, ...]) -> None:
    """Check that each text is a key."""
    for text in value:
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if len(key) != _MASTER_KEY_BYTES:
            raise ValueError("it must be 32 bytes in base64, as `openssl rand -base64 32` makes them")
