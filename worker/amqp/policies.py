"""Policies: what an operator has set for a queue, as the broker's management interface tells."""

import asyncio
import base64
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from worker.errors import BrokerMisconfigured, BrokerUnavailable

__all__ = ["QueueRules", "rules_of"]

_SECONDS = 5.0
# As a policy says what it is for; what it matches are quorum queues, all of them.
_FOR_QUEUES = frozenset({"all", "queues", "quorum_queues"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRules:
    """What holds for one queue.

    Attributes:
        arguments: What it was declared with; empty if it is not there.
        policies: What is set from outside, by the name of the policy that sets it: at most one of the users' and one of
            the operators'.
    """

    arguments: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]]

    def get(self, key: str) -> tuple[Any, str] | None:
        """Return what a policy sets, and which policy; the smaller where two set it."""
        found = [(definition[key], name) for name, definition in self.policies.items() if key in definition]
        return min(found, key=lambda each: (not isinstance(each[0], int), each[0])) if found else None


async def rules_of(management_url: str, amqp_url: str, queues: Sequence[str]) -> dict[str, QueueRules]:
    """Ask for the rules of some queues. Nothing is changed.

    Args:
        management_url: The management interface, with a login in it.
        amqp_url: Names the virtual host.
        queues: Which ones.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: It refuses the login, or the right to see policies.
    """
    return await asyncio.to_thread(_rules_of, management_url, amqp_url, queues)


def _rules_of(management_url: str, amqp_url: str, queues: Sequence[str]) -> dict[str, QueueRules]:
    vhost = quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")
    users = _ask(management_url, f"policies/{vhost}") or []
    operators = _ask(management_url, f"operator-policies/{vhost}") or []
    found = {}
    for queue in queues:
        there = _ask(management_url, f"queues/{vhost}/{quote(queue, safe='')}?disable_stats=true")
        chosen = [policy for policies in (users, operators) if (policy := _chosen(policies, queue)) is not None]
        found[queue] = QueueRules(
            arguments={} if there is None else there.get("arguments", {}),
            policies={policy["name"]: policy["definition"] for policy in chosen},
        )
    return found


def _chosen(policies: Sequence[Mapping[str, Any]], queue: str) -> Mapping[str, Any] | None:
    """Return the policy that holds for a queue: of those that match, the one of the highest priority."""
    matching = [each for each in policies if each["apply-to"] in _FOR_QUEUES and _matches(each["pattern"], queue)]
    return max(matching, key=lambda each: int(each["priority"]), default=None)


def _matches(pattern: str, queue: str) -> bool:
    try:
        return re.search(pattern, queue) is not None
    except re.error:  # the broker's patterns are of another dialect, in the rarest of cases
        return False


def _ask(management_url: str, path: str) -> Any:
    """Return the answer's JSON; None where there is no such thing."""
    parts = urlsplit(management_url)
    address = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
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
