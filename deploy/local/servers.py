"""Which servers to use: those named by environment variables, else the local stack, else Docker containers."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy.local import containers
from deploy.local.errors import StackError
from deploy.local.stack import LocalStack

__all__ = ["Servers", "servers"]

_DATABASE = ("DATABASE_URL", "DATABASE_ADMIN_URL")
_REQUIRED = (*_DATABASE, "AMQP_URL")
_OPTIONAL = ("DATABASE_REPLICA_URLS", "RABBITMQ_MANAGEMENT_URL")
_MANAGEMENT_PORT = 15672


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers that can be used.

    Attributes:
        origin: Where they come from, for a person.
        addresses: Their addresses, by environment variable.
        throwaway: Whether they, with all that is in them, vanish after use.
    """

    origin: str
    addresses: Mapping[str, str]
    throwaway: bool

    def environment(self) -> dict[str, str]:
        """Return the addresses as the environment variables that the project's programs read."""
        return dict(self.addresses)


@contextmanager
def servers(environment: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """Provide servers for the time of a ``with`` statement.

    In this order: servers named by ``DATABASE_URL``, ``DATABASE_ADMIN_URL`` and ``AMQP_URL`` (they are left running);
    a broker named by ``AMQP_URL`` alone, beside databases of the local stack; a local stack of its own; containers,
    where a Docker engine answers.

    Args:
        environment: Where to look for named servers; the process's own by default.

    Raises:
        StackError: Some of the three variables are set and some are not, or no servers can be provided. One sentence.
    """
    if (named := _named(environment)) is not None:
        if "DATABASE_URL" in named:
            yield Servers("the servers named by environment variables", named, throwaway=False)
            return
        with LocalStack(broker=False) as stack:
            addresses = stack.environment() | named
            yield Servers("the broker named by AMQP_URL, beside the local stack", addresses, throwaway=False)
        return
    try:
        LocalStack.check()
    except StackError as reason:
        if not containers.engine_answers():
            raise StackError(f"{reason} Or start a Docker engine, or set {', '.join(_REQUIRED)}.") from None
        with containers.started() as addresses:
            yield Servers("Docker containers (no replica)", addresses, throwaway=True)
        return
    with LocalStack() as stack:
        yield Servers("the local stack", stack.environment(), throwaway=True)


def _named(environment: Mapping[str, str]) -> dict[str, str] | None:
    found = {name: value for name in (*_REQUIRED, *_OPTIONAL) if (value := environment.get(name))}
    missing = [name for name in _REQUIRED if name not in found]
    if len(missing) == len(_REQUIRED):
        return None
    if missing and missing != list(_DATABASE):
        raise StackError(
            f"Some servers are named by {', '.join(found)}, but {' and '.join(missing)} is not set: "
            f"set all of {', '.join(_REQUIRED)}, AMQP_URL alone, or none."
        )
    amqp = urlsplit(found["AMQP_URL"])
    login = amqp.netloc.rpartition("@")[0] or "guest:guest"
    return {"RABBITMQ_MANAGEMENT_URL": f"http://{login}@{amqp.hostname}:{_MANAGEMENT_PORT}"} | found
