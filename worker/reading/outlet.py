"""The outlet: the connections by which a process sends the messages of reactions and relays."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Self

from handlers import Domain
from worker.amqp.ordered_sender import OrderedSender
from worker.amqp.refusals import broker_address
from worker.amqp.relay_exchange import declare_exchange
from worker.amqp.reply_queue import ReplyQueue
from worker.amqp.sender import Sender
from worker.errors import BrokerMisconfigured, BrokerUnavailable
from worker.publisher import Publisher

__all__ = ["BrokerConnections"]

_OPEN_SECONDS = 5.0


class BrokerConnections:
    """The connections to the broker. Each is opened when it is needed, and again after it was lost.

    Args:
        amqp_url: The broker's address.
        name: Name of the connections in the broker's management pages.
        domains: The domains that the process has loaded: commands for them are checked before they are sent.
        source: The source that relayed events name; empty for ``/`` and the domain's name.
        max_message_bytes: The largest command to send, in bytes.
        route_seconds: For how long a command that no queue takes is sent again before it fails.

    Attributes:
        publisher: Publishes commands.
        domains: The loaded domains, by name.
        source: The source that relayed events name; empty for ``/`` and the domain's name.
        route_seconds: For how long a command that no queue takes is sent again before it fails.

    Raises:
        BrokerMisconfigured: The address cannot be parsed.
    """

    def __init__(
        self,
        amqp_url: str,
        *,
        name: str,
        domains: Mapping[str, Domain],
        source: str,
        max_message_bytes: int,
        route_seconds: float = 10.0,
    ) -> None:
        self.route_seconds = route_seconds
        self.domains = domains
        self.source = source
        self._url = amqp_url
        self._name = name
        self._sender = Sender(amqp_url, name=f"{name}, commands")
        self.publisher = Publisher(
            self._sender,
            ReplyQueue(amqp_url, name=f"{name}, replies"),
            address=broker_address(amqp_url),
            max_message_bytes=max_message_bytes,
        )
        self._ordered: dict[str, OrderedSender] = {}

    def events_of(self, domain: str) -> OrderedSender:
        """Return the sender of a domain's events."""
        if domain not in self._ordered:
            self._ordered[domain] = OrderedSender(
                self._url, name=f"{self._name}, events of {domain}", prepare=lambda link: declare_exchange(link, domain)
            )
        return self._ordered[domain]

    async def open(self, relayed: Collection[str] = ()) -> Self:
        """Connect now rather than with the first message, so that a wrong address is found. The broker may be down.

        Args:
            relayed: The domains whose events will be published. The exchange of each is declared if it is missing, so
                that a queue can be bound before the first event. Where that fails, the first event says so.

        Raises:
            BrokerMisconfigured: The broker refuses the connection.
        """
        with suppress(BrokerUnavailable):
            await self._sender.open(_OPEN_SECONDS)
            for domain in relayed:
                with suppress(BrokerMisconfigured):
                    await self._sender.declare_events(domain, _OPEN_SECONDS)
        return self

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self.publisher.close()
        for each in self._ordered.values():
            await each.close()
