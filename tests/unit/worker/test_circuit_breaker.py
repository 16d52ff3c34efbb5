import asyncio

import pytest

from eventstore import StoreUnavailable
from worker.rounds import circuit_breaker
from worker.rounds.circuit_breaker import CircuitBreaker


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(circuit_breaker, "_LONGEST_DELAY", 0.001)


async def test_a_shut_gate_opens_when_the_probe_succeeds() -> None:
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1
        if probes < 3:
            raise StoreUnavailable("down")

    gate = CircuitBreaker(probe)
    opening = await gate.passed()
    assert opening is not None
    gate.shut(StoreUnavailable("down"), opening)
    gate.shut(StoreUnavailable("still down"), opening)
    assert not gate.is_open
    await gate.passed()
    assert gate.is_open
    assert probes == 3
    await gate.close()


async def test_closing_ends_the_probe() -> None:
    asked = asyncio.Event()

    async def probe() -> None:
        asked.set()
        raise StoreUnavailable("down")

    gate = CircuitBreaker(probe)
    await _shut(gate)
    await asked.wait()
    await gate.close()
    assert not gate.is_open
    assert [task for task in asyncio.all_tasks() if task.get_name() == "gate-probe"] == []


async def test_whoever_waits_at_a_gate_may_give_up() -> None:
    async def probe() -> None:
        raise StoreUnavailable("down")

    gate = CircuitBreaker(probe)
    opening = await gate.passed(within=0)
    assert opening is not None
    gate.shut(StoreUnavailable("down"), opening)
    assert await gate.passed(within=0) is None
    await gate.close()


async def test_a_drain_ends_the_waiting_and_keeps_whoever_comes_later_from_it() -> None:
    async def probe() -> None:
        raise StoreUnavailable("down")

    gate = CircuitBreaker(probe)
    await _shut(gate)
    waiting = asyncio.create_task(gate.passed())
    await asyncio.sleep(0)  # lets it begin to wait
    gate.drain()
    assert await waiting is None
    assert await gate.passed() is None
    await gate.close()


async def test_an_open_gate_lets_pass_during_a_drain_until_it_is_shut() -> None:
    async def probe() -> None:
        raise StoreUnavailable("down")

    gate = CircuitBreaker(probe)
    gate.drain()
    opening = await gate.passed()
    assert opening is not None
    gate.shut(StoreUnavailable("down"), opening)
    assert await gate.passed() is None
    await gate.close()


async def test_after_a_pause_the_first_goes_in_alone_and_more_follow_as_they_are_served() -> None:
    async def probe() -> None:
        return

    gate = CircuitBreaker(probe)
    hanging = await gate.passed()
    assert hanging is not None
    gate.shut(StoreUnavailable("down"), hanging)
    entered: list[int] = []

    async def enter() -> None:
        opening = await gate.passed()
        assert opening is not None
        entered.append(opening)

    entering = [asyncio.create_task(enter()) for _ in range(9)]
    await asyncio.wait(entering, return_when=asyncio.FIRST_COMPLETED)
    # Whoever hangs since before the pause takes nobody's place, and nobody's leaving of that time makes room.
    gate.left(hanging, served=True)
    await _turns()
    assert len(entered) == 1
    for served, expected in ((True, 3), (False, 4), (True, 7), (True, 9)):
        gate.left(entered[0], served=served)
        await _turns()
        assert len(entered) == expected
    await asyncio.gather(*entering)
    await gate.close()


async def test_who_fails_late_by_an_earlier_opening_does_not_shut_it_again() -> None:
    async def probe() -> None:
        return

    gate = CircuitBreaker(probe)
    hanging = [await gate.passed() for _ in range(3)]
    await _shut(gate)
    now = await gate.passed()
    for opening in hanging:
        assert opening is not None
        gate.left(opening, served=False)
        gate.shut(StoreUnavailable("it hung"), opening)
        assert gate.is_open
    assert now is not None
    gate.shut(StoreUnavailable("down again"), now)
    assert not gate.is_open
    await gate.close()


async def _shut(gate: CircuitBreaker) -> None:
    """Shut a gate, as whoever came in last."""
    opening = await gate.passed()
    assert opening is not None
    gate.shut(StoreUnavailable("down"), opening)


async def _turns() -> None:
    """Let the loop turn, so that every task that can go on does."""
    for _ in range(5):
        await asyncio.sleep(0)
