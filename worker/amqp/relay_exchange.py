"""The exchange that a domain's events are published to: checked, and declared if it is missing."""

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from worker.amqp.connection import Link
from worker.errors import BrokerMisconfigured
from worker.topology import events_exchange

__all__ = ["declare_exchange", "lacks_exchange"]


async def lacks_exchange(link: Link, domain: str) -> bool:
    """Whether a domain's exchange for events is missing. The check needs no right, and changes nothing."""
    async with link.side_channel() as channel:
        wire = await link.wire_of(channel)
        try:
            await wire.exchange_declare(events_exchange(domain), passive=True)
        except ChannelNotFoundEntity:
            return True
    return False


async def declare_exchange(link: Link, domain: str) -> None:
    """Declare a domain's exchange for events if it is missing. An existing one stays as it is.

    Raises:
        BrokerMisconfigured: It is missing, and the broker refuses the declaration.
    """
    if not await lacks_exchange(link, domain):
        return
    name = events_exchange(domain)
    try:
        async with link.side_channel() as channel:
            await channel.declare_exchange(name, "topic", durable=True)
    except ChannelAccessRefused as error:
        raise BrokerMisconfigured(
            f"the exchange {name} cannot be made ({error}); run `worker topology declare` once, as a user that may "
            "configure it"
        ) from error
