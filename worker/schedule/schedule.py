"""The schedule of one domain: commands that wait for their time, run by the one process that has the lease."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from eventstore import EventStoreError, StoreUnavailable
from eventstore.backoff import Backoff
from worker.amqp.sender import Sender
from worker.amqp.upkeep import keep_declared
from worker.errors import BrokerError, BrokerUnavailable
from worker.reading.lease import TICK_SECONDS, Candidate, LeaseLost
from worker.rounds.replies import Replies
from worker.schedule.complaints import complaint
from worker.schedule.scheduled import Lease, ScheduledCommands
from worker.schedule.sending import Sending
from worker.schedule.storing import Storing
from worker.schedule.tally import Tally
from worker.schedule.together import together
from worker.topology import Topology

__all__ = ["Schedule"]

_log = logging.getLogger(__name__)

_FIRST_REST, _LONGEST_REST = 0.5, 5.0
_CLOSE_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
# After this time a due command counts as late.
_LATE_SECONDS = 30.0


class Schedule:
    """Stores the scheduled commands of a domain, and sends each when its time has come.

    One process at a time does that. It stops as soon as it cannot renew its lease, and another one takes over.

    Args:
        topology: The domain's queues, including the schedule queue.
        commands: The scheduled commands. Not closed here.
        url: The broker's address.
        sender: The connection that publishes due commands and dead letters.
        replies: Sends a reply to publishers whose request is dead-lettered.
        candidate: Takes the lease for this process.
        most_bytes: The largest body that workers accept, in bytes.
        answer_seconds: How long the database may take to answer before it counts as unavailable; longer than the
            largest batch takes, which renews the lease itself.

    Attributes:
        tally: The counts of this process.
    """

    def __init__(
        self,
        topology: Topology,
        commands: ScheduledCommands,
        *,
        url: str,
        sender: Sender,
        replies: Replies,
        candidate: Candidate,
        most_bytes: int,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self.tally = Tally(domain=topology.domain_name)
        self._answer_seconds = answer_seconds
        self._topology = topology
        self._commands = commands
        self._url = url
        self._sender = sender
        self._replies = replies
        self._candidate = candidate
        self._most_bytes = most_bytes
        self._backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        self._trouble: str | None = None
        self._storing: Storing | None = None
        self._sending: Sending | None = None

    @property
    def domain(self) -> str:
        """The domain's name."""
        return self._topology.domain_name

    @property
    def active(self) -> int:
        """1 if this process has the lease, otherwise 0."""
        return int(self._storing is not None)

    @property
    def troubles(self) -> list[str]:
        """What prevents it from storing or sending now, a sentence each."""
        parts = [part.trouble for part in (self._storing, self._sending) if part is not None]
        found = [trouble for trouble in (self._trouble, *parts) if trouble is not None]
        if self.tally.late > _LATE_SECONDS and not found:
            found.append(f"a command has been due for {self.tally.late:.0f} s, and has not been sent")
        return [f"{self.domain}: {trouble}" for trouble in found]

    @property
    def counts(self) -> Mapping[str, int]:
        """What this process has done."""
        return {"stored": self.tally.stored, "cancelled": self.tally.cancelled, "sent": self.tally.sent}

    async def open(self) -> None:
        """Check that the database and the broker have what it needs, and create what is missing.

        Raises:
            ScheduleError, EventStoreError: The database cannot be reached, or cannot be used as it is.
            BrokerMisconfigured: The broker cannot be used as it is. It may be down: then it is used later.
        """
        try:
            await self._commands.register(self.domain)
        except EventStoreError as error:
            raise complaint(error, self._commands.schema) from error
        # The consumer declares what is missing, too.
        with suppress(BrokerUnavailable):
            await self._sender.declare(self._topology)

    async def serve(self) -> None:
        """Take the lease whenever it is free, and work under it, until cancelled; then release it."""
        while True:
            try:
                lease = await self._commands.take(self.domain, self._candidate)
                if lease is not None:
                    await self._work(lease)
            except LeaseLost:
                _log.warning("%s: another process has the lease by now", self._topology.schedule_queue)
            except (EventStoreError, BrokerError) as error:
                self._tell(error)
                await self._backoff.rest()
                continue
            except Exception:  # noqa: BLE001  a bug: logged with its traceback, and retried like a temporary failure
                self._say("it failed with an unexpected error; its log has the traceback")
                _log.exception("%s: failed", self._topology.schedule_queue)
                await self._backoff.rest()
                continue
            self._goes_on()
            await asyncio.sleep(TICK_SECONDS)

    async def _work(self, lease: Lease) -> None:
        sending = Sending(self._topology, self._commands, sender=self._sender, tally=self.tally)
        storing = Storing(
            self._url,
            self._topology,
            self._commands,
            sender=self._sender,
            replies=self._replies,
            tally=self.tally,
            most_bytes=self._most_bytes,
            wake=sending.wake,
        )
        self._storing, self._sending = storing, sending
        _log.info("%s: storing and sending", self._topology.schedule_queue)
        try:
            await together(
                self._keep(lease, storing),
                storing.run(lease),
                sending.run(lease),
                keep_declared(self._sender, self._topology),
            )
        except (EventStoreError, BrokerError) as error:
            self._tell(error)  # before the lease is released, which may then take a while
            raise
        finally:
            self._storing = self._sending = None
            self.tally.late = 0.0
            # If that fails, it expires by itself.
            with suppress(EventStoreError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._commands.release(lease)

    async def _keep(self, lease: Lease, storing: Storing) -> None:
        while True:
            # Without an answer it is not known whether another process has the lease, which this one would keep from
            # consuming.
            try:
                async with asyncio.timeout(self._answer_seconds):
                    await self._commands.renew(lease)
            except TimeoutError:
                raise StoreUnavailable(f"the database has not answered for {self._answer_seconds:g} s") from None
            if storing.trouble is None:
                self._goes_on()
            await asyncio.sleep(TICK_SECONDS)

    def _goes_on(self) -> None:
        self._say(None)
        self._backoff.reset()

    def _tell(self, error: EventStoreError | BrokerError) -> None:
        told = complaint(error, self._commands.schema) if isinstance(error, EventStoreError) else error
        self._say(str(told))

    def _say(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning(
                "%s: %s", self._topology.schedule_queue, f"waiting to try again: {trouble}" if trouble else "continues"
            )
