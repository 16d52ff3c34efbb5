"""Gauges: the state of the open stores' servers and connections whenever metrics are collected."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.metrics import CallbackOptions, Observation

from eventstore.metrics import meter
from eventstore.postgres.appends.room import Room
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.reads.replicas import ReadCounts, Replicas
from eventstore.postgres.schema import Schema

__all__ = ["observed"]


@dataclass(frozen=True, slots=True, eq=False)
class _Store:
    pools: Pools
    replicas: Replicas
    counts: ReadCounts
    room: Room


_stores: set[_Store] = set()


@contextmanager
def observed(pools: Pools, replicas: Replicas, counts: ReadCounts, room: Room) -> Iterator[None]:
    """Include a store in the gauges until the context is left."""
    store = _Store(pools, replicas, counts, room)
    _stores.add(store)
    try:
        yield
    finally:
        _stores.discard(store)


# A server's address, and the schema of a store in its database.
_Place = tuple[str, Schema]


def _connections(_: CallbackOptions) -> Iterable[Observation]:
    found: Counter[tuple[_Place, str]] = Counter()
    for store in _stores:
        for pool in (store.pools.primary, *store.pools.replicas):
            idle = pool.idle
            found[_place(pool), "idle"] += idle
            found[_place(pool), "used"] += pool.connections.get_size() - idle
    return [Observation(count, _labels(place, status=status)) for (place, status), count in found.items()]


def _lags(_: CallbackOptions) -> Iterable[Observation]:
    found: dict[_Place, int] = {}
    for store in _stores:
        for pool in store.pools.replicas:
            lag = max(store.pools.primary.head.number - pool.head.number, 0)
            found[_place(pool)] = max(lag, found.get(_place(pool), 0))
    return [Observation(lag, _labels(place)) for place, lag in found.items()]


def _replicas_up(_: CallbackOptions) -> Iterable[Observation]:
    found: dict[_Place, bool] = {}
    for store in _stores:
        for pool in store.pools.replicas:
            found[_place(pool)] = store.replicas.is_up(pool) and found.get(_place(pool), True)
    return [Observation(int(up), _labels(place)) for place, up in found.items()]


def _room(_: CallbackOptions) -> Iterable[Observation]:
    found: dict[_Place, float] = {}
    for store in _stores:
        if (partitions := store.room.partitions) is not None:
            place = _place(store.pools.primary)
            found[place] = min(partitions, found.get(place, partitions))
    return [Observation(partitions, _labels(place)) for place, partitions in found.items()]


def _reads(_: CallbackOptions) -> Iterable[Observation]:
    found: Counter[tuple[_Place, str]] = Counter()
    for store in _stores:
        primary = _place(store.pools.primary)
        found[primary, "asked_for"] += store.counts.primary
        for reason, count in store.counts.fallbacks.items():
            found[primary, reason.value] += count
        for server, count in store.counts.replicas.items():
            found[(server, primary[1]), "replica"] += count
    return [Observation(count, _labels(place, reason=reason)) for (place, reason), count in found.items()]


def _place(pool: Pool) -> _Place:
    return pool.address, pool.schema


def _labels(place: _Place, **others: str) -> dict[str, str]:
    server, schema = place
    # A second store in a database must not change the series of the first.
    return {"server": server, **others} if schema.is_default else {"server": server, "schema": schema.name, **others}


meter.create_observable_up_down_counter(
    "eventstore.db.connections",
    [_connections],
    unit="{connection}",
    description="Connections to each server, by status: used or idle.",
)
meter.create_observable_gauge(
    "eventstore.replica.lag",
    [_lags],
    unit="{event}",
    description="How many events a replica was behind the primary when it was last checked.",
)
meter.create_observable_gauge(
    "eventstore.replica.up",
    [_replicas_up],
    # Not "1": Prometheus would take the gauge for a ratio, and name it accordingly.
    unit="{replica}",
    description="Replicas that answer reads: 1 or 0 for each server.",
)
meter.create_observable_gauge(
    "eventstore.partition.room",
    [_room],
    unit="{partition}",
    description="How many partitions a log that is kept in partitions has left; workers make further ones below 1.5.",
)
meter.create_observable_counter(
    "eventstore.reads",
    [_reads],
    unit="{query}",
    description="Queries by the server that answered, and why that one: replica, asked_for (the primary was), or "
    "none_up, behind, failed (the primary in a replica's place).",
)
