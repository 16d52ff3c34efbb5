"""The guides: the tutorial, the recipes and the programs are run with stand-ins for the servers."""

import ast
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, create_autospec
from uuid import uuid4

import pytest
from typer.testing import CliRunner

import worker
from eventstore import Event, InvalidFilter, MemoryEventStore, P, Position
from eventstore.postgres import PostgresEventStore
from handlers import Domain, Reader
from tests.support import tutorial
from tests.support.tutorial import Typed
from worker.cli.app import app
from worker.errors import NoReply
from worker.message import Reply, ReplyOutcome
from worker.publisher import Publisher

DOCS = Path(__file__).parents[3] / "docs"
POSITION = Position(number=7, token=3)


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


def module(name: str, text: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(text, name, "exec"), vars(made))  # noqa: S102  the documentation's own code
    return made


def run_tests(found: ModuleType) -> int:
    tests = [each for name, each in vars(found).items() if name.startswith("test_")]
    for test in tests:
        test()
    return len(tests)


def printed(command: str) -> str:
    """Return the output that the tutorial shows below a command."""
    (step,) = [step for step in tutorial.steps() if isinstance(step, Typed) and step.command == command]
    return step.printed


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tutorial's file, which the programs of other pages import as well."""
    made = module("shop", tutorial.files()["shop.py"])
    monkeypatch.setitem(sys.modules, "shop", made)
    return made


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryEventStore:
    """A memory store in place of PostgreSQL, opened with ``async with`` or ``await``."""
    made = MemoryEventStore()
    made.close = AsyncMock()  # type: ignore[attr-defined]  # only the PostgreSQL store has this method

    class Opened:
        def __await__(self) -> Any:
            yield from ()
            return made

        async def __aenter__(self) -> MemoryEventStore:
            return made

        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr(PostgresEventStore, "connect", lambda *_, **__: Opened())
    monkeypatch.setenv("DATABASE_URL", "postgresql://worker@primary/shop")
    monkeypatch.setenv("AMQP_URL", "amqp://worker@mq/")
    return made


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(Publisher, instance=True, spec_set=True)

    @asynccontextmanager
    async def connect(*_: Any, **__: Any) -> AsyncIterator[Publisher]:
        yield made

    monkeypatch.setattr(worker, "Publisher", SimpleNamespace(connect=connect))
    return made


def reply(outcome: ReplyOutcome, reason: str | None = None) -> Reply:
    return Reply(command_id=uuid4(), outcome=outcome, reason=reason, position=POSITION)


def test_the_tutorials_test_passes(shop: ModuleType) -> None:
    count = run_tests(module("test_shop", tutorial.files()["test_shop.py"]))
    told = printed("pytest --quiet")
    assert told.startswith(f"{count} passed")
    assert shop.domain.name == "orders"


@pytest.mark.parametrize("breakage", [("if pieces < command.pieces:", "if False:"), ("if placed:", "if False:")])
def test_the_tutorials_test_fails_without_the_rule(breakage: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop", module("shop", tutorial.files()["shop.py"].replace(*breakage)))
    with pytest.raises(AssertionError):
        run_tests(module("test_shop", tutorial.files()["test_shop.py"]))


@pytest.mark.parametrize(("name", "count"), [("README.md", 5), ("docs/tutorial.md", 7)])
def test_the_guides_commands_exist(name: str, count: int) -> None:
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    calls = [shlex.split(line.removesuffix(" &")) for line in re.findall(r"^\$ worker (.*)$", text, re.MULTILINE)]
    assert len(calls) == count
    for arguments in calls:
        assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments


def test_the_tutorial_waits_until_its_worker_consumes(shop: ModuleType) -> None:
    text = tutorial.PAGE.read_text(encoding="utf-8")
    assert '_log.info("consuming %s", ' in (DOCS.parent / "worker" / "process.py").read_text(encoding="utf-8")
    # It waits between the worker and the first command, and stops every program that it starts.
    ready = f"`consuming {shop.domain.name}.commands`"
    steps = ["dist up", "worker db migrate", "worker run &", ready, "worker publish", "kill %1 && wait", "CLONE down"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


async def test_the_tutorials_program_works_as_shown(
    shop: ModuleType, store: MemoryEventStore, publisher: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shop.domain.name == "orders"
    await store.append([Event(type="StockAdded", payload={"product": "tea", "pieces": 0})])
    publisher.request.side_effect = [reply("accepted")] * 2 + [reply("rejected", "not enough in stock")] * 18
    source = tutorial.files()["order.py"].replace("asyncio.run(main())", "")
    await module("order", source).main()
    assert capsys.readouterr().out == printed("python order.py")
    assert {call.args[:2] for call in publisher.request.await_args_list} == {("orders", "PlaceOrder")}


def test_the_recipes_are_run() -> None:
    recipes = module("recipes", "\n\n".join(blocks("recipes.md")))
    assert isinstance(recipes.domain, Domain)
    assert run_tests(recipes) == len(recipes.domain.deciders)


@pytest.mark.parametrize("value", [0.5, datetime(2026, 1, 5, tzinfo=UTC), [1], None], ids=repr)
def test_no_predicate_matches_what_the_recipes_say_none_does(value: Any) -> None:
    with pytest.raises(InvalidFilter):
        P("field", value)


class Refused(Exception):
    """A stand-in for FastAPI's ``HTTPException``."""

    def __init__(self, status_code: int, detail: str | None) -> None:
        super().__init__(status_code, detail)
        self.status_code = status_code


class Application:
    """The part of FastAPI that the page uses: stores each function by its method and path."""

    def __init__(self, *, lifespan: Callable[[Any], Any]) -> None:
        self.state = SimpleNamespace()
        self.lifespan = lifespan
        self.routes: dict[str, Callable[..., Awaitable[Any]]] = {}

    def _route(self, method: str, path: str) -> Callable[[Any], Any]:
        return lambda function: self.routes.setdefault(f"{method} {path}", function)

    def get(self, path: str) -> Callable[[Any], Any]:
        return self._route("GET", path)

    def put(self, path: str) -> Callable[[Any], Any]:
        return self._route("PUT", path)


@pytest.mark.usefixtures("shop")
async def test_the_web_application_responds_as_documented(
    store: MemoryEventStore, publisher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastapi = SimpleNamespace(FastAPI=Application, HTTPException=Refused, Request=object)
    monkeypatch.setitem(sys.modules, "fastapi", fastapi)
    web: Application = module("web", blocks("programs.md")[0]).app
    place, left = web.routes["PUT /orders/{command_id}"], web.routes["GET /shelves/{product}"]
    request = SimpleNamespace(app=web)
    order = sys.modules["shop"].PlaceOrder(order="o1", product="tea", pieces=3)
    await store.append([Event(type="StockAdded", payload={"product": "tea", "pieces": 5})])
    async with web.lifespan(web):
        publisher.request.return_value = reply("accepted")
        assert await place(uuid4(), order, request) == {"outcome": "accepted", "position": str(POSITION)}
        for answer, status in (
            (reply("rejected", "not enough in stock"), 409),
            (reply("failed", "handler_error"), 500),
            (NoReply("no answer"), 503),
        ):
            publisher.request.side_effect = [answer]
            with pytest.raises(Refused) as refused:
                await place(uuid4(), order, request)
            assert refused.value.status_code == status
        assert await left("tea", request) == 5
        assert await left("tea", request, str(await store.position())) == 5
        # A client's text that is no position, and one of another history.
        for seen, status in (("abc", 422), ("5", 422), ("9" * 20 + ":1", 422), ("0:5", 409)):
            with pytest.raises(Refused, match="seen: ") as refused:
                await left("tea", request, seen)
            assert refused.value.status_code == status


@pytest.mark.usefixtures("shop")
async def test_the_notebooks_cells_run(store: MemoryEventStore) -> None:
    _, *cells = blocks("programs.md")
    await store.append([Event(type="OrderPlaced", payload={"order": "o1", "product": "tea", "pieces": 3})])
    names: dict[str, Any] = {}
    for cell in cells:
        program = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert isinstance(program, CodeType)
        running = eval(program, names)  # noqa: S307  the documentation's own code
        if running is not None:
            await running
    assert isinstance(names["reader"], Reader)
    assert [event.payload["order"] for event in names["orders"]] == ["o1"]
