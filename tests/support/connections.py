"""Connections, closed by the broker."""

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually


async def close_connections(management: Management, amqp_url: str, *names: str) -> None:
    """Have the broker close connections by name.

    Args:
        management: The broker's management API.
        amqp_url: The virtual host.
        names: The connections' names, each of one connection.
    """
    path = f"/api/vhosts{urlsplit(amqp_url).path}/connections"
    found: dict[str, str] = {}

    async def are_listed() -> bool:
        listed: list[dict[str, Any]] = await asyncio.to_thread(management.request, "GET", path)
        found.update({each.get("user_provided_name", ""): each["name"] for each in listed if "name" in each})
        return set(names) <= set(found)

    # The broker lists a connection a moment after it was opened.
    await eventually(are_listed, what=f"the connections {names}")
    for name in names:
        await asyncio.to_thread(management.request, "DELETE", f"/api/connections/{quote(found[name], safe='')}")
