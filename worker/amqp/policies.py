"""Policies: what operators have set for a queue, from the broker's management interface."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from worker.amqp.management import ask, vhost_of

__all__ = ["QueueRules", "alternate_of", "rules_of"]

# The ``apply-to`` values of policies that apply to quorum queues; all queues here are.
_FOR_QUEUES = frozenset({"all", "queues", "quorum_queues"})
_FOR_EXCHANGES = frozenset({"all", "exchanges"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRules:
    """The arguments and policies that apply to one queue.

    Attributes:
        arguments: The arguments that it was declared with; empty if it does not exist.
        policies: What policies set, by the policy's name: at most one user policy and one operator policy.
    """

    arguments: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]]

    def get(self, key: str) -> tuple[Any, str] | None:
        """Return the value that a policy sets for a key, and the policy's name; None if no policy sets it.

        If two policies set it, the smaller value applies.
        """
        found = [(definition[key], name) for name, definition in self.policies.items() if key in definition]
        return min(found, key=lambda each: (not isinstance(each[0], int), each[0])) if found else None


async def rules_of(management_url: str, amqp_url: str, queues: Sequence[str]) -> dict[str, QueueRules]:
    """Read the rules that apply to queues. Nothing is changed.

    Args:
        management_url: Address of the management interface, with user name and password.
        amqp_url: The broker's address, which names the virtual host.
        queues: Names of the queues.

    Raises:
        BrokerUnavailable: The interface cannot be reached.
        BrokerMisconfigured: The interface refuses the login, or the right to see policies.
    """
    return await asyncio.to_thread(_rules_of, management_url, amqp_url, queues)


async def alternate_of(management_url: str, amqp_url: str, exchange: str) -> tuple[str, str] | None:
    """Return where an exchange sends what no queue takes: the name of the policy that says so, and of that exchange.

    None if it returns such messages to their publisher. Arguments and errors are those of ``rules_of``.
    """
    users = await asyncio.to_thread(ask, management_url, f"policies/{vhost_of(amqp_url)}")
    found = _chosen(users or [], exchange, _FOR_EXCHANGES)
    if found is None or "alternate-exchange" not in found["definition"]:
        return None
    return str(found["name"]), str(found["definition"]["alternate-exchange"])


def _rules_of(management_url: str, amqp_url: str, queues: Sequence[str]) -> dict[str, QueueRules]:
    vhost = vhost_of(amqp_url)
    users = ask(management_url, f"policies/{vhost}") or []
    operators = ask(management_url, f"operator-policies/{vhost}") or []
    found = {}
    for queue in queues:
        there = ask(management_url, f"queues/{vhost}/{quote(queue, safe='')}?disable_stats=true")
        chosen = [
            policy for policies in (users, operators) if (policy := _chosen(policies, queue, _FOR_QUEUES)) is not None
        ]
        found[queue] = QueueRules(
            arguments={} if there is None else there.get("arguments", {}),
            policies={policy["name"]: policy["definition"] for policy in chosen},
        )
    return found


def _chosen(policies: Sequence[Mapping[str, Any]], name: str, kinds: Collection[str]) -> Mapping[str, Any] | None:
    """Return the policy that applies to a queue or exchange: of those that match, the one of the highest priority."""
    matching = [each for each in policies if each["apply-to"] in kinds and _matches(each["pattern"], name)]
    return max(matching, key=lambda each: int(each["priority"]), default=None)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # the broker's regular expressions are of another dialect, which rarely matters
        return False
