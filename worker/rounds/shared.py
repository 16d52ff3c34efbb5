"""The objects that are shared within one domain's scheduler."""

from dataclasses import dataclass

from eventstore import EventStore
from handlers.domain import Domain
from handlers.part_reader import PartReader
from worker.counters import Counters
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.own_events import OwnEvents
from worker.rounds.part_states import PartStates
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings

__all__ = ["Shared"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """The objects that are shared within one domain's scheduler.

    Attributes:
        store: The event store that is read and appended to.
        domain: The domain whose commands are decided.
        settings: The worker's settings.
        states: The cached states of parts.
        own: The events that this process recorded recently or is about to record.
        reader: Reads parts from the store.
        breaker: Awaited before requests to the store, and notified when one is not answered.
        watchdog: Notified whenever the domain's code runs.
        counters: Counts attempts, reads and conflicts.
    """

    store: EventStore
    domain: Domain
    settings: Settings
    states: PartStates
    own: OwnEvents
    reader: PartReader
    breaker: CircuitBreaker
    watchdog: Watchdog
    counters: Counters
