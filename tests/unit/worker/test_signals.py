import asyncio
import signal

import pytest

from worker.supervision.signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_stops_and_the_second_hurries(number: signal.Signals) -> None:
    with stop_signals() as (stop, hurry):
        signal.raise_signal(number)
        await asyncio.wait_for(stop.wait(), 60)
        assert not hurry.is_set()
        signal.raise_signal(number)
        await asyncio.wait_for(hurry.wait(), 60)


async def test_a_first_signal_after_another_stop_request_does_not_hurry() -> None:
    with stop_signals() as (stop, hurry):
        stop.set()
        handled = asyncio.Event()
        signal.raise_signal(signal.SIGTERM)
        # Its handler runs after the first one's.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, handled.set)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(handled.wait(), 60)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        assert not hurry.is_set()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(hurry.wait(), 60)
