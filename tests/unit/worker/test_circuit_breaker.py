import asyncio
from collections.abc import Callable

import pytest

from eventstore import StoreUnavailable
from eventstore.backoff import Backoff
from worker.rounds.circuit_breaker import CircuitBreaker

DOWN = StoreUnavailable("down")


def breaker(probe: "Probe") -> CircuitBreaker:
    return CircuitBreaker(probe, backoff=Backoff(first=0.001, longest=0.001))


class Probe:
    """Fails the given number of times, or always; counts its calls."""

    def __init__(self, failures: float = 0) -> None:
        self._failures = failures
        self.asked = 0
        self.was_asked = asyncio.Event()

    async def __call__(self) -> None:
        self.asked += 1
        self.was_asked.set()
        if self.asked <= self._failures:
            raise DOWN


async def test_an_open_breaker_closes_when_the_probe_succeeds() -> None:
    probe = Probe(failures=2)
    opened = breaker(probe)
    era = await opened.closed()
    opened.open(DOWN, era)
    opened.open(StoreUnavailable("still down"), era)
    assert opened.is_open
    assert await opened.closed() == era + 1
    assert not opened.is_open
    assert probe.asked == 3
    await opened.close()


@pytest.mark.parametrize("raised", [RuntimeError("a bug"), MemoryError(), OSError("no descriptor is left")], ids=repr)
async def test_after_any_exception_of_a_probe_another_one_follows(raised: Exception) -> None:
    failures = [raised]

    async def probe() -> None:
        if failures:
            raise failures.pop()

    opened = CircuitBreaker(probe, backoff=Backoff(first=0.001, longest=0.001))
    opened.open(DOWN, opened.era)
    async with asyncio.timeout(20):
        assert await opened.closed() == 1
    await opened.close()


async def test_listeners_are_called_each_time_it_closes() -> None:
    told: list[int] = []
    opened = breaker(Probe())
    opened.on_closing(lambda: told.append(opened.era))
    for _ in range(2):
        opened.open(DOWN, opened.era)
        await opened.closed()
    assert told == [1, 2]
    await opened.close()


async def test_closing_down_ends_the_probe() -> None:
    probe = Probe(failures=float("inf"))
    opened = breaker(probe)
    opened.open(DOWN, opened.era)
    await probe.was_asked.wait()
    await opened.close()
    assert opened.is_open
    assert [task for task in asyncio.all_tasks() if task.get_name() == "database-probe"] == []


async def test_waiters_wait_while_the_probe_fails_and_can_be_cancelled() -> None:
    probe = Probe(failures=float("inf"))
    opened = breaker(probe)
    opened.open(DOWN, opened.era)
    waiting = asyncio.create_task(opened.closed())
    await probe.was_asked.wait()
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await opened.close()


async def test_a_waiter_that_wakes_when_it_is_open_again_continues_to_wait() -> None:
    probe = Probe()
    opened = breaker(probe)
    opened.open(DOWN, 0)
    # Called on closing, before the waiters wake up.
    opened.on_closing(_once(lambda: opened.open(DOWN, 1)))
    assert await opened.closed() == 2
    assert probe.asked == 2
    await opened.close()


async def test_after_a_pause_the_first_round_has_one_command_and_each_success_doubles_the_limit() -> None:
    opened = breaker(Probe())
    assert opened.room(1000) == 1000
    opened.open(DOWN, opened.era)
    hanging, era = 0, await opened.closed()
    assert opened.room(1000) == 1
    # Commands from before the pause do not raise the limit.
    opened.served(hanging)
    assert opened.room(1000) == 1
    widths = []
    for _ in range(9):
        opened.served(era)
        widths.append(opened.room(1000))
    assert widths == [2, 4, 8, 16, 32, 64, 128, 256, 1000]
    assert opened.room(32) == 32
    await opened.close()


async def test_a_late_failure_from_before_a_pause_does_not_open_it_again() -> None:
    opened = breaker(Probe())
    hanging = await opened.closed()
    opened.open(DOWN, hanging)
    now = await opened.closed()
    opened.open(StoreUnavailable("it hung"), hanging)
    assert not opened.is_open
    opened.open(StoreUnavailable("down again"), now)
    assert opened.is_open
    await opened.close()


async def test_intervals_of_probes_grow_until_the_database_serves_commands_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranges: list[tuple[float, float]] = []

    def at_once(low: float, high: float) -> float:
        ranges.append((low, high))
        return 0.0

    monkeypatch.setattr("random.uniform", at_once)
    opened = CircuitBreaker(Probe(failures=7))
    opened.open(DOWN, opened.era)
    era = await opened.closed()
    assert [high for _, high in ranges] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert all(low == high / 2 for low, high in ranges)
    # It answers probes but no command: it must not be probed in a tight loop.
    opened.open(DOWN, era)
    era = await opened.closed()
    assert ranges[-1] == (2.5, 5.0)
    opened.served(era)
    opened.open(DOWN, era)
    await opened.closed()
    assert ranges[-1] == (0.05, 0.1)
    await opened.close()


def _once(action: Callable[[], None]) -> Callable[[], None]:
    left = [action]
    return lambda: left.pop()() if left else None
