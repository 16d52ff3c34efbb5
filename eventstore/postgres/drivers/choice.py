"""The choice of the driver: by its name, or by the pool or engine that a program hands in."""

from collections.abc import Mapping
from importlib import import_module
from typing import Literal, TypeAlias, get_args

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.drivers.asyncpg import AsyncpgDriver
from eventstore.postgres.drivers.handed_in import HandedIn
from eventstore.postgres.drivers.protocol import Driver

__all__ = ["DriverName", "driver_named", "handed_in"]

DriverName: TypeAlias = Literal["asyncpg", "psycopg", "sqlalchemy"]

_CLASSES: Mapping[DriverName, str] = {"psycopg": "PsycopgDriver", "sqlalchemy": "EngineDriver"}


def driver_named(name: DriverName) -> Driver:
    """Return the driver with a name.

    Raises:
        StoreMisconfigured: No driver has this name, or its library is not installed.
    """
    if name == "asyncpg":
        return AsyncpgDriver()
    if name not in _CLASSES:
        raise StoreMisconfigured(f"no driver is called {name!r}: name one of {', '.join(get_args(DriverName))}")
    try:
        module = import_module(f"eventstore.postgres.drivers.{name}")
    except ImportError as error:
        raise StoreMisconfigured(
            f"the driver {name} is not installed ({error}): pip install 'dynamic-streams-worker[{name}]'"
        ) from error
    driver: Driver = getattr(module, _CLASSES[name])()
    return driver


def handed_in(pool: object) -> HandedIn:
    """Return an adapter that lends connections of a program's own pool or engine to the store.

    Raises:
        StoreMisconfigured: The object is no pool or engine of a known type.
    """
    # By package and class name, so that only the package of the given pool must be installed.
    for kind in type(pool).__mro__:
        match kind.__module__.partition(".")[0], kind.__name__:
            case "asyncpg", "Pool":
                from eventstore.postgres.drivers.asyncpg_lending import AsyncpgLender  # noqa: PLC0415  as below

                return AsyncpgLender(pool)
            case "psycopg_pool", "AsyncConnectionPool":
                from eventstore.postgres.drivers.psycopg_lending import PsycopgLender  # noqa: PLC0415  it imports psycopg

                return PsycopgLender(pool)
            case "sqlalchemy", "AsyncEngine":
                from eventstore.postgres.drivers.sqlalchemy import EngineLender  # noqa: PLC0415  it imports SQLAlchemy

                return EngineLender(pool)
    raise StoreMisconfigured(
        f"a {type(pool).__name__} cannot be handed in: it must be an asyncpg.Pool, a psycopg_pool.AsyncConnectionPool, "
        "or an SQLAlchemy AsyncEngine"
    )
