"""What all shares that works on the commands of one domain."""

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
    """What all shares that works on the commands of one domain.

    Attributes:
        store: Where to read, and to record.
        domain: Whose commands.
        settings: The limits.
        states: What is known of parts.
        own: Our own events.
        reader: Reads parts.
        breaker: Asked before the store is, and told if it does not answer.
        watchdog: Told whenever the domain's code runs.
        counters: Where attempts, reads and conflicts are counted.
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
