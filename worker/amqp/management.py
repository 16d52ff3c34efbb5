"""The broker's management interface: what no AMQP connection tells."""

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from worker.errors import BrokerMisconfigured, BrokerUnavailable

__all__ = ["ask", "vhost_of"]

_SECONDS = 5.0


def vhost_of(amqp_url: str) -> str:
    """Return the virtual host that an address names, as a path of the interface has it."""
    return quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")


def ask(management_url: str, path: str) -> Any:
    """Ask for something. Nothing is changed.

    Args:
        management_url: The interface, with a login in it.
        path: What is asked for, below ``/api/``.

    Returns:
        The answer's JSON; None where there is no such thing.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: It refuses the login, or the right to see this.
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
        raise BrokerUnavailable(
            f"RabbitMQ's management interface at {address} does not answer ({error}); correct RABBITMQ_MANAGEMENT_URL"
        ) from error
