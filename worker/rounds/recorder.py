"""The recorder: sends rounds to the store, one after another, and reports the results."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import Context

from eventstore import Append, ChainBroken, EventStoreError, OutcomeUnknown, Receipt, StoreUnavailable
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.key_order import KeyOrder
from worker.rounds.outcomes import Outcomes
from worker.rounds.recording import Recording
from worker.rounds.round import Round, Verdict
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode

__all__ = ["Recorder"]

_log = logging.getLogger(__name__)


class Recorder:
    """Sends rounds to the store.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        order: Holds back commands that would overtake an earlier one with the same affinity key.
        recording: Notified when a round is sent and when it is answered.
        outcomes: Gets the result for each command.
        free: Called when a round is answered, so that another can be sent.

    Attributes:
        round: The round that is being recorded; None if none is.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        order: KeyOrder,
        recording: Recording,
        outcomes: Outcomes,
        free: Callable[[], None],
    ) -> None:
        self._store = shared.store
        self._domain_name = shared.domain.name
        self._states = shared.states
        self._breaker = shared.breaker
        self._watchdog = shared.watchdog
        self._order = order
        self._under_way = recording
        self._outcomes = outcomes
        self._free = free
        self.round: Round | None = None
        self._sent_at = 0.0
        self._sent_in = 0
        self._task: asyncio.Task[None] | None = None

    def send(self, round_: Round, era: int) -> None:
        """Send a round to the store. Call it in the same turn of the loop in which the round was prepared.

        Args:
            round_: The round. It has members, and no other round is being recorded.
            era: The breaker's era.
        """
        appends = round_.appends()
        for member in round_.members:
            member.job.is_sent = True
        self.round = round_
        self._under_way.begin(len(round_.members))
        self._sent_at, self._sent_in = time.monotonic(), era
        self._task = asyncio.create_task(self._record(round_, appends, era), context=Context())

    def silence(self, seconds: float) -> StoreUnavailable | None:
        """Check whether an append has gone unanswered for longer than this.

        Nothing is cut short, since it would not be known whether it was recorded. Where commands wait for the store,
        the breaker is opened instead.

        Args:
            seconds: The longest time for which an append may go unanswered.

        Returns:
            The error of all active commands, if commands do not wait for the store; None if they do or if there is no
            such append.
        """
        if self.round is None or time.monotonic() - self._sent_at <= seconds:
            return None
        silence = StoreUnavailable(f"an append has not been answered for {seconds:g} s")
        if not self._breaker.is_patient:
            return silence
        self._breaker.open(silence, self._sent_in)
        return None

    async def close(self) -> None:
        """Stop at once. A round that is being recorded may or may not be on record."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def settle(self, round_: Round, verdicts: Sequence[Verdict]) -> None:
        """Update the cached states by the store's answers to a round. If a view fails at that, the answers stand."""
        for member, verdict in zip(round_.members, verdicts, strict=True):
            if not isinstance(verdict, Receipt):
                # Before the next round is sent, which may contain others of its key.
                self._order.hold(member.job)
        if not all(isinstance(verdict, Receipt | EventStoreError) for verdict in verdicts) or any(
            isinstance(verdict, OutcomeUnknown) for verdict in verdicts
        ):
            # It is not known what was recorded.
            round_.abandon()
            return
        try:
            with UserCode(self._watchdog, round_.members[0].job.message.command_type):
                round_.settle(verdicts)
        except Exception:  # noqa: BLE001  the answers stand
            _log.exception("the states of %s are read again", self._domain_name)
            self._states.forget()

    def tell(self, round_: Round, verdicts: Sequence[Verdict]) -> None:
        """Report the store's answer to each command of a round."""
        relies_on_none = True
        for member, verdict in zip(round_.members, verdicts, strict=True):
            job = member.job
            job.is_sent = False
            if isinstance(verdict, ChainBroken) and relies_on_none:
                # Nothing before it was refused: the states that it was decided on are too old to be checked.
                self._states.distrust(job.entries)
            relies_on_none = relies_on_none and isinstance(verdict, Receipt) and not verdict.duplicate
            try:
                self._outcomes.judged(job, verdict)
            except Exception as bug:  # noqa: BLE001  such as a program's own span processor raises; others have answers
                _log.exception("reporting the answer to %s failed", job.message.command_type)
                self._outcomes.failed(job, bug)

    async def _record(self, round_: Round, appends: Sequence[Append], era: int) -> None:
        verdicts: Sequence[Verdict]
        try:
            verdicts = await self._store.append_chain(appends)
        except EventStoreError as error:
            verdicts = [error.copy_for_caller() for _ in appends]
        except Exception as bug:  # noqa: BLE001  its members must be told; it is not known which of them are recorded
            _log.exception("recording a round of %s failed", self._domain_name)
            verdicts = [bug for _ in appends]
        self.settle(round_, verdicts)
        self.round = None
        self._under_way.end()
        self._free()
        down = next((verdict for verdict in verdicts if isinstance(verdict, DOWN)), None)
        if down is None:
            self._breaker.served(era)
        elif self._breaker.is_patient:
            self._breaker.open(down, era)
        # The next round is sent before results are reported.
        await asyncio.sleep(0)
        self.tell(round_, verdicts)
