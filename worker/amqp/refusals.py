"""Refusals: translates errors of the AMQP library into the worker's own, with the broker's text."""

import asyncio
import re
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
from worker.address_form import check_amqp_parameters
from worker.amqp.tls import tls_trouble
from worker.errors import BrokerBusy, BrokerMisconfigured, BrokerUnavailable

__all__ = ["LOST", "broker_address", "translated"]

LOST = (*CONNECTION_EXCEPTIONS, asyncio.TimeoutError)
"""What aio-pika raises when a connection or channel is gone, or does not answer."""


def translated(
    error: BaseException, address: str, *, is_cancelled: bool
) -> BrokerMisconfigured | BrokerUnavailable | None:
    """Return the worker's own error for one of the library's; None for any other error.

    Args:
        error: The error that was raised.
        address: The broker's host and port, as ``broker_address`` returns them.
        is_cancelled: Whether the task was cancelled from outside, so that a cancellation is not the library's.
    """
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return BrokerMisconfigured(f"RabbitMQ at {address} refuses the user name or password; correct AMQP_URL")
    if isinstance(error, ChannelAccessRefused | ChannelPreconditionFailed):
        return BrokerMisconfigured(f"RabbitMQ at {address} refuses: {_text(error)}")
    if isinstance(error, LOST):
        return _lost(error, address)
    if isinstance(error, asyncio.CancelledError) and not is_cancelled:
        # The library cancels its waiting callers when a channel closes.
        return BrokerUnavailable(f"the connection to RabbitMQ at {address} was lost")
    return None


def _lost(error: BaseException, address: str) -> BrokerMisconfigured | BrokerUnavailable:
    if (refusal := tls_trouble(error)) is not None:
        return BrokerMisconfigured(f"RabbitMQ at {address}: {refusal}")
    # While connecting, the library reports the broker's refusal of the virtual host as an unexpected frame.
    if isinstance(error, InvalidFrameError) and (close := _close_in(error)) is not None:
        return _refused_at_opening(address, close.reply_text)
    if isinstance(error, ConnectionNotAllowed):
        return BrokerBusy(f"RabbitMQ at {address} refuses for now: {_text(error)}")
    return BrokerUnavailable(f"RabbitMQ at {address} is out of reach: {_text(error)}")


def broker_address(url: str) -> str:
    """Return ``host:port`` of an AMQP address, without any secret.

    Raises:
        BrokerMisconfigured: The address has no host or an invalid port, or the library cannot parse it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
        # The library's own parser is stricter.
        _ = URL(url).host
    except ValueError:  # its text may quote the password
        raise BrokerMisconfigured(
            "the broker's address has no readable host and port; correct AMQP_URL, and in its password write "
            "/ ? # @ [ ] and \\ as %2F, %3F, %23, %40, %5B, %5D and %5C"
        ) from None
    try:
        check_amqp_parameters(url)
    except ValueError as error:
        raise BrokerMisconfigured(f"the broker's address: {error}; correct AMQP_URL") from None
    return f"{parts.hostname or 'localhost'}:{port}"


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
