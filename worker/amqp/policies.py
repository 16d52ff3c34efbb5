"""Policies: what an operator has set for a queue, as the broker's management interface tells."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of

__all__ = ["QueueRules", "rules_of"]

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
    vhost = vhost_of(amqp_url)
    users = ask(management_url, f"policies/{vhost}") or []
    operators = ask(management_url, f"operator-policies/{vhost}") or []
    found = {}
    for queue in queues:
        there = ask(management_url, f"queues/{vhost}/{quote(queue, safe='')}?disable_stats=true")
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
