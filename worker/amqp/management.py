"""The broker's management interface: information that AMQP connections do not give."""

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from eventstore.system_error import said_of
from worker.errors import BrokerMisconfigured, BrokerUnavailable

__all__ = ["ask", "vhost_of"]

_SECONDS = 5.0


def vhost_of(amqp_url: str) -> str:
    """Return the virtual host of an AMQP address, quoted for a path of the interface."""
    return quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")


def ask(management_url: str, path: str) -> Any:
    """Send a GET request to the interface. Nothing is changed. It blocks.

    Args:
        management_url: Address of the interface, with user name and password.
        path: Path below ``/api/``.

    Returns:
        The answer's JSON; None if the broker answers 404.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: The interface refuses the login, or the user lacks the right.
    """
    parts = urlsplit(management_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else f"{parts.hostname}"
    address = f"{host}:{parts.port}" if parts.port else host
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    request = urllib.request.Request(  # noqa: S310  the settings let no other scheme pass
        f"{parts.scheme}://{address}{parts.path.rstrip('/')}/api/{path}",
        headers={"Authorization": f"Basic {base64.b64encode(login).decode()}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310  as above
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        if error.code == http.client.NOT_FOUND:
            return None
        raise BrokerMisconfigured(
            f"RabbitMQ's management interface at {address} refuses ({error.code} {error.reason}): correct "
            "RABBITMQ_MANAGEMENT_URL, whose user needs the tag monitoring or policymaker"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        said = said_of(reason) if isinstance(reason, BaseException) else reason
        raise BrokerUnavailable(
            f"RabbitMQ's management interface at {address} does not answer: {said}; correct RABBITMQ_MANAGEMENT_URL"
        ) from error
