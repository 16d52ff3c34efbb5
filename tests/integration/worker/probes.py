"""Health probes, as an orchestrator sends them."""

import asyncio
import json
from dataclasses import dataclass
from http.client import HTTPConnection

from tests.support.fixtures.waiting import eventually


@dataclass(frozen=True)
class Probed:
    """What a worker answered: whether it is live, whether it is ready, and why. Both False when nobody answers."""

    live: bool
    ready: bool
    reason: str


async def probed(port: int) -> Probed:
    """Ask both questions."""
    try:
        (live, _), (ready, reason) = [await asyncio.to_thread(_ask, port, path) for path in ("/livez", "/readyz")]
    except OSError as error:
        return Probed(live=False, ready=False, reason=f"nobody answers: {error}")
    return Probed(live=live, ready=ready, reason=reason)


async def answers(port: int, *, live: bool, ready: bool, reason: str = "") -> Probed:
    """Wait until the answers are these and the reason contains a text."""
    last: list[Probed] = []

    async def is_so() -> bool:
        last[:] = [await probed(port)]
        return (last[0].live, last[0].ready) == (live, ready) and reason in last[0].reason

    try:
        await eventually(is_so, what=f"live={live} ready={ready} {reason!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}; last it was {last}") from None
    return last[0]


def _ask(port: int, path: str) -> tuple[bool, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status == 200, json.loads(response.read())["reason"]
    finally:
        connection.close()
