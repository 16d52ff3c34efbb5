"""Sending: publishes commands whose time has come, and removes them after the broker has confirmed them."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta

from eventstore.backoff import Backoff
from worker.amqp.properties import read_properties
from worker.amqp.sender import Sender
from worker.errors import BrokerError, MessageRefused, Unroutable
from worker.reading.lease import TICK_SECONDS
from worker.rounds.forwarding import forward
from worker.schedule.scheduled import Due, Lease, ScheduledCommands
from worker.schedule.tally import Tally
from worker.telemetry.logs import concerning
from worker.topology import EXCHANGE, Topology
from worker.waiting import first_of

__all__ = ["Sending"]

_log = logging.getLogger(__name__)

_MOST = 128
_MOST_BYTES = 8 * 1024 * 1024
_PATIENCE_SECONDS = 10.0
_FIRST_REST, _LONGEST_REST = 0.1, 5.0
# A command that the broker refuses, or that has no queue, waits for a person: others go on.
_AGAIN_SECONDS = 10.0
# Rows that were sent lie before those to be sent, and slow down each look while an old snapshot keeps them from being
# vacuumed. So a look begins where the last one found nothing, and a little before that, in case a clock was set back.
_OVERLAP = timedelta(minutes=1)
_LOOK_AT_ALL_SECONDS = 60.0


class Sending:
    """Sends the due commands of one domain's schedule, as long as a lease is valid.

    What is not confirmed is not sent again while the connection stands: a broker that is short of memory or disk reads
    nothing for a while, and would later store every copy.

    Args:
        topology: The domain's queues.
        commands: The scheduled commands.
        sender: The connection that publishes them.
        tally: The counts of this process.
    """

    def __init__(self, topology: Topology, commands: ScheduledCommands, *, sender: Sender, tally: Tally) -> None:
        self._topology = topology
        self._commands = commands
        self._sender = sender
        self._tally = tally
        self._stored = asyncio.Event()
        self._trouble: str | None = None
        self._refusal: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why commands that are due cannot be sent now; None if they can."""
        return self._trouble or self._refusal

    def wake(self) -> None:
        """Look again for due commands: one was stored that may be due before all others."""
        self._stored.set()

    async def run(self, lease: Lease) -> None:
        """Send until cancelled. A command that was sent but not removed by then is sent again, with the same id.

        Raises:
            EventStoreError: The due commands cannot be read now.
        """
        domain = self._topology.domain_name
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        since: datetime | None = None
        looked_at_all = time.monotonic()
        while True:
            self._stored.clear()
            if time.monotonic() - looked_at_all > _LOOK_AT_ALL_SECONDS:
                since, looked_at_all = None, time.monotonic()
            outlook = await self._commands.outlook(domain, since)
            self._tally.late, self._refusal = outlook.late, outlook.error
            if outlook.next_in is None or outlook.next_in > 0:
                since = outlook.moment - _OVERLAP
                rest = TICK_SECONDS if outlook.next_in is None else min(outlook.next_in, TICK_SECONDS)
                await first_of(self._stored, within=rest)
                continue
            due = await self._commands.claim(lease, domain, since=since, most=_MOST, most_bytes=_MOST_BYTES)
            trouble = await self._send_all(due)
            self._say(trouble)
            if trouble is None:
                backoff.reset()
            else:
                await backoff.rest()

    async def _send_all(self, due: list[Due]) -> str | None:
        """Send claimed commands; return why not all of them are settled, or None."""
        failures = dict(zip(due, await self._answers(due), strict=True))
        if astray := [each for each, failure in failures.items() if isinstance(failure, Unroutable)]:
            # Their queue was deleted, which no worker may have noticed yet.
            with suppress(BrokerError):
                await self._sender.declare(self._topology, timeout=None)
            failures |= zip(astray, await self._answers(astray), strict=True)
        domain = self._topology.domain_name
        sent = [each for each, failure in failures.items() if failure is None]
        if sent:
            await self._commands.sent(domain, sent)
            self._tally.sent += len(sent)
        refused = {each: str(why) for each, why in failures.items() if isinstance(why, MessageRefused | Unroutable)}
        if refused:
            for each, why in refused.items():
                with concerning(command_id=str(each.command_id), command_type=each.command_type, domain=domain):
                    _log.error("%s %s is due, and the broker refuses it: %s", each.command_type, each.command_id, why)
            await self._commands.refused(domain, refused, again_in=_AGAIN_SECONDS)
        return next((str(why) for each, why in failures.items() if why is not None and each not in refused), None)

    async def _answers(self, due: list[Due]) -> list[BrokerError | None]:
        """Send commands, for as long as the broker takes, and say meanwhile why it does."""
        sending = asyncio.gather(*map(self._send, due))
        try:
            while not (await asyncio.wait({sending}, timeout=_PATIENCE_SECONDS))[0]:
                self._say(str(await self._sender.diagnosis()))
            return sending.result()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, due: Due) -> BrokerError | None:
        """Send a command; return why the broker refused it or did not answer, or None."""
        try:
            await forward(
                self._sender,
                due.body,
                read_properties(due.properties),
                exchange=EXCHANGE,
                queue=self._topology.routing_key,
                headers={},
                timeout=None,
            )
        except BrokerError as error:
            return error
        return None

    def _say(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is not None:
                _log.warning("due commands of %s cannot be sent now: %s", self._topology.domain_name, trouble)
