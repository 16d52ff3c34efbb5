from pathlib import Path

import pytest

from tests.unit.layering import BROKER, TRANSPORT, faults, imported, sources, within

MODULES = sources(Path(__file__).parents[2])


def test_imports_run_one_way() -> None:
    assert faults(MODULES) == []


def test_every_package_is_checked() -> None:
    assert {"eventstore.memory", "eventstore.postgres.engine", "handlers.decider", "worker.cli.app"} <= set(MODULES)


def test_no_tier_of_the_tests_imports_another() -> None:
    root = Path(__file__).parents[2]
    tiers = [
        path.name
        for path in (root / "tests").iterdir()
        if path.is_dir() and path.name not in {"support", "__pycache__"}
    ]
    assert {"unit", "contract", "integration", "e2e", "faults", "bench"} <= set(tiers)
    crossing = [
        f"{module} imports {name}"
        for module, text in sources(root, ("tests",)).items()
        for name in imported(module, text)
        for tier in tiers
        if within(name, {f"tests.{tier}"}) and not within(module, {f"tests.{tier}"})
    ]
    assert crossing == []


def test_every_transport_module_uses_the_broker() -> None:
    users = {module for module, text in MODULES.items() if any(within(name, BROKER) for name in imported(module, text))}
    assert users
    assert all(within(user, TRANSPORT) for user in users)


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        ("eventstore.filter", "import handlers", "eventstore.filter imports handlers: imports run"),
        (
            "eventstore.filter",
            "from worker.message import CommandMessage",
            "worker.message.CommandMessage: imports run",
        ),
        ("eventstore.filter", "from ..worker import retry", "worker.retry: imports run"),
        ("handlers.library.events", "from worker import history", "worker.history: imports run"),
        ("worker.cli.check", "import deploy.local", "deploy.local: imports run"),
        ("eventstore.memory", "from tests.support import facts", "tests.support.facts: imports run"),
        ("eventstore.memory", "import asyncpg", "asyncpg: only eventstore.postgres.drivers"),
        ("worker.service", "import asyncpg.exceptions as e", "asyncpg.exceptions: only eventstore.postgres.drivers"),
        (
            "worker.service",
            "def late():\n    from asyncpg import Pool",
            "asyncpg.Pool: only eventstore.postgres.drivers",
        ),
        ("eventstore.postgres.engine", "import asyncpg", "asyncpg: only eventstore.postgres.drivers"),
        ("eventstore.postgres.connections.pools", "import psycopg", "psycopg: only eventstore.postgres.drivers"),
        ("worker.service", "if TYPE_CHECKING:\n    import aio_pika", "aio_pika: only worker.amqp"),
        ("worker.brokerage", "from aiormq.abc import Basic", "aiormq.abc.Basic: only worker.amqp"),
        ("eventstore.postgres.engine", "import aio_pika", "aio_pika: only worker.amqp"),
        ("eventstore.memory", "from eventstore import postgres", "eventstore.postgres: engines build on the core"),
        ("eventstore.memory", "from .postgres.engine import Pools", "postgres.engine.Pools: engines build on"),
        ("eventstore.__init__", "from . import postgres", "eventstore.postgres: engines build on the core"),
        ("worker.console.letters", "from worker.cli.loop import run_async", "the command line is on top"),
        ("handlers.domain", "import eventstore.postgres", "eventstore.postgres: engines build on the core"),
        ("handlers.library.events", "import asyncio", "asyncio: handlers do no input and output"),
        ("handlers.part_reader", "import asyncio, asyncio.subprocess", "asyncio.subprocess: handlers do no"),
        ("handlers.domain", "from urllib.request import urlopen", "urllib.request.urlopen: handlers do no"),
        ("handlers.domain", "import json, socket", "socket: handlers do no"),
        ("handlers.domain", "import requests", "requests: handlers do no"),
        ("handlers.domain", "from opentelemetry import trace", "opentelemetry.trace: handlers do no"),
    ],
)
def test_a_forbidden_import_is_reported(module: str, text: str, fault: str) -> None:
    (found,) = faults({module: text})
    assert fault in found


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("eventstore.memory", "import asyncio\nimport msgspec\nfrom .filter import Filter"),
        ("eventstore.postgres.engine", "import asyncio\nfrom ..filter import Filter\nfrom . import pools"),
        ("eventstore.postgres.drivers.sqlalchemy", "import asyncpg\nimport sqlalchemy.pool"),
        ("handlers.part_reader", "import asyncio"),
        ("handlers.library.events", "import re\nimport pydantic\nfrom eventstore import Filter\nfrom . import library"),
        (
            "worker.amqp.connection",
            "import aio_pika\nfrom handlers.domain import Domain\nfrom eventstore.postgres import migrate",
        ),
        ("worker.service", "import asyncio\nimport asyncpgsa\nimport workers"),
    ],
)
def test_an_allowed_import_is_accepted(module: str, text: str) -> None:
    assert faults({module: text}) == []
