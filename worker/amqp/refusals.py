"""Refusals: translates errors of the AMQP library into the worker's own, with the broker's text."""

import asyncio
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq import spec
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed
from yarl import URL

from eventstore.system_error import said_of
from worker.address_form import ESCAPES, check_amqp
from worker.amqp.tls import tls_trouble
from worker.errors import BrokerBusy, BrokerMisconfigured, BrokerUnavailable

__all__ = ["LOST", "broker_address", "translated"]

LOST = (*CONNECTION_EXCEPTIONS, asyncio.TimeoutError)
"""What aio-pika raises when a connection or channel is gone, or does not answer."""


def translated(
    error: BaseException, address: str, *, is_cancelled: bool, is_dialling: bool = False
) -> BrokerMisconfigured | BrokerUnavailable | None:
    """Return the worker's own error for one of the library's; None for any other error.

    Args:
        error: The error that was raised.
        address: The broker's host and port, as ``broker_address`` returns them.
        is_cancelled: Whether the task was cancelled from outside, so that a cancellation is not the library's.
        is_dialling: Whether there was no connection yet.
    """
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return BrokerMisconfigured(f"RabbitMQ at {address} refuses the user name or password; correct AMQP_URL")
    if isinstance(error, ChannelAccessRefused | ChannelPreconditionFailed):
        return BrokerMisconfigured(f"RabbitMQ at {address} refuses: {_text(error)}")
    if isinstance(error, LOST):
        return _lost(error, address, is_dialling=is_dialling)
    if isinstance(error, asyncio.CancelledError) and not is_cancelled:
        # The library cancels its waiting callers when a channel closes.
        return BrokerUnavailable(f"the connection to RabbitMQ at {address} was lost")
    return None


def _lost(error: BaseException, address: str, *, is_dialling: bool) -> BrokerMisconfigured | BrokerUnavailable:
    if (refusal := tls_trouble(error)) is not None:
        return BrokerMisconfigured(f"RabbitMQ at {address}: {refusal}")
    # While connecting, the library reports the broker's refusal of the virtual host as an unexpected frame.
    if isinstance(error, InvalidFrameError) and (close := _close_in(error)) is not None:
        return _refused_at_opening(address, close.reply_text)
    if isinstance(error, ConnectionNotAllowed):
        return BrokerBusy(f"RabbitMQ at {address} refuses for now: {_text(error)}")
    if is_dialling and _is_ended(error):
        return BrokerUnavailable(
            f"RabbitMQ at {address} is out of reach: the connection ended before a broker answered; see whether "
            "this is its port for AMQP, and whether that takes TLS, which amqps:// asks for"
        )
    return BrokerUnavailable(f"RabbitMQ at {address} is out of reach: {_text(error)}")


def _is_ended(error: BaseException) -> bool:
    """Whether the other side has ended the connection, and said nothing."""
    return isinstance(error.__cause__, EOFError | ConnectionResetError | ssl.SSLError) or not str(error)


def broker_address(url: str) -> str:
    """Return ``host:port`` of an AMQP address, without any secret.

    Raises:
        BrokerMisconfigured: The address has no host or an invalid port, or the library cannot parse it.
    """
    try:
        check_amqp(url)
    except ValueError as error:
        raise BrokerMisconfigured(f"the broker's address: {error}; correct AMQP_URL") from None
    try:
        # What the library reads it with minds more.
        _ = URL(url).host
    except ValueError:  # its text may quote the password
        raise BrokerMisconfigured(
            f"the broker's address: its host cannot be read; {ESCAPES}; correct AMQP_URL"
        ) from None
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


# All refusals of a virtual host have one code; only the text says which it is.
_NO_VHOST = re.compile(r"vhost .* not found|access to vhost '.*' refused for user '[^']*'$")


def _refused_at_opening(address: str, words: str) -> BrokerMisconfigured | BrokerUnavailable:
    """Return the error for a refused virtual host. A limit, or a host that is starting, is temporary."""
    if _NO_VHOST.search(words):
        return BrokerMisconfigured(
            f"RabbitMQ at {address} refuses the virtual host ({words}); create it, give the user rights there, or "
            "correct AMQP_URL"
        )
    return BrokerBusy(f"RabbitMQ at {address} refuses connections for now: {words}")


def _close_in(error: BaseException) -> spec.Connection.Close | None:
    """Return the frame by which the broker refused a connection: the library drops it together with the reason."""
    traceback = error.__traceback__
    while traceback is not None:
        for value in traceback.tb_frame.f_locals.values():
            if isinstance(value, spec.Connection.Close):
                return value
        traceback = traceback.tb_next
    return None


def _text(error: Any) -> str:
    # The library wraps errors of the operating system.
    return said_of(error.__cause__ if isinstance(error.__cause__, OSError) else error) or type(error).__name__
