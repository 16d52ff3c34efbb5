"""The documentation is correct: its code is tested, its links exist, its tables are complete."""

import ast
import inspect
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, get_args
from unittest.mock import create_autospec
from uuid import uuid4

import pytest

import worker
from deploy.site import pages
from eventstore import Position
from eventstore.postgres.connections.session_settings import SESSION_SETTINGS
from examples.shop import shop
from examples.shop.shop import orders
from handlers.erasure.sealing import SEALED
from handlers.erasure.sensitive import sensitive_problems
from handlers.library import domain as library
from handlers.library import events as library_events
from handlers.library import projections, reactions
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.testing import forgotten, kit
from worker.cli.app import COMMANDS
from worker.credentials import file_variable
from worker.dead_letters.letter import BROKER_REASONS
from worker.domain_variables import own_variables
from worker.load.summary import Summary
from worker.message import Reply, ReplyOutcome
from worker.publisher import Publisher
from worker.reading.read_models import ReadModels
from worker.settings import IN_FILES, Settings

ROOT = Path(__file__).parents[3]
TOP = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
WEB = "".join(path.read_text() for path in sorted((ROOT / "examples" / "library_web").rglob("*.py")))
SHOP = (ROOT / "examples" / "shop" / "shop" / "orders.py").read_text()


def page(name: str) -> str:
    return (ROOT / name).read_text()


def code(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)


def first_cells(text: str) -> set[str]:
    return {
        name for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


def test_no_page_contains_conflict_markers() -> None:
    marks = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)
    assert [path.name for path in PAGES if marks.search(path.read_text())] == []


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    _, *releases = re.split(r"^## ", page("CHANGELOG.md"), flags=re.MULTILINE)
    assert releases
    for release in releases:
        assert re.match(r"\[(Unreleased|\d+\.\d+\.\d+)\]", release), release[:40]
        intro, *groups = re.split(r"^### ", release, flags=re.MULTILINE)
        assert "\n* " not in intro
        names = [group.partition("\n")[0] for group in groups]
        assert names == [
            name for name in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security") if name in names
        ]


def test_the_readmes_decider_is_the_tested_one(monkeypatch: pytest.MonkeyPatch) -> None:
    decider, test = code("README.md")
    for part in decider.strip().split("\n\n\n"):
        assert part in SHOP
    # The README's test is run unchanged; its package can be imported.
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setitem(sys.modules, "shop.orders", orders)
    names: dict[str, object] = {}
    exec(test, names)  # noqa: S102  code of the README
    run = names["test_what_is_not_there_is_not_sold"]
    assert callable(run)
    run()


def test_the_readme_is_read_in_two_minutes() -> None:
    assert page("README.md").count("\n") <= 150


def test_every_page_is_listed_by_need() -> None:
    listed = re.findall(r"\]\(([\w-]+\.md)\)", page("docs/index.md"))
    assert sorted(listed) == sorted(path.name for path in PAGES if path.parent.name == "docs" and path.stem != "index")


def test_the_site_has_the_pages_of_the_index() -> None:
    first, *groups = pages.navigation(page("docs/index.md"))
    assert first == "index.md"
    assert [name for group in groups for name in group] == ["Learn", "Do", "Look up", "Understand"]
    listed = [name for group in groups for names in group.values() for name in names]
    assert listed == re.findall(r"\]\(([\w-]+\.md)\)", page("docs/index.md"))


def test_the_rules_of_dcb_are_listed_with_their_tests() -> None:
    text = page("docs/conformance.md")
    tests = re.findall(r"^async def (test_\w+)", page("tests/contract/test_dcb.py"), re.MULTILINE)
    assert tests
    assert re.findall(r"`(test_\w+)`", text.split("## ")[1]) == tests
    (version,) = re.findall(r"^eventsourcing==(\S+)", page("requirements-bench.lock"), re.MULTILINE)
    assert f"eventsourcing {version}" in text


def test_every_command_is_described() -> None:
    text = page("docs/commands.md").split("## Exit status")[0]
    for group, entries in COMMANDS.items():
        for entry in entries:
            words = f"worker {group} {entry.name}".replace("  ", " ")
            # A row may name a second command of its group by its last word.
            assert re.search(rf"`{words}\b|`worker {group} .*, `{entry.name}\b", text), words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_line_is_wider_than_a_screen(path: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_field_in_the_erasure_guide_is_sealed() -> None:
    (shown,) = code("docs/erasure.md")
    names: dict[str, Any] = {}
    exec(shown, names)  # noqa: S102  the documentation's own code
    event = names["ReaderRegistered"]
    assert list(sensitive_problems(event)) == []
    ada = forgotten(event(reader_id="ada", name="Ada"))
    payload, metadata = re.findall(r"^(\{.*\})$", page("docs/erasure.md"), re.MULTILINE)
    assert json.loads(payload) == ada.payload
    assert json.loads(metadata)[SEALED].keys() == {"Name"}


async def test_the_publisher_accepts_the_documented_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://worker@mq/")
    publisher = create_autospec(Publisher, instance=True, spec_set=True)
    publisher.request.return_value = Reply(command_id=uuid4(), outcome="accepted")

    @asynccontextmanager
    async def connect(*arguments: Any, **options: Any) -> AsyncIterator[Publisher]:
        inspect.signature(Publisher.connect).bind(*arguments, **options)
        yield publisher

    shown, _ = code("docs/messages.md")
    program = compile(shown, "docs/messages.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(program, CodeType)
    monkeypatch.setattr(worker, "Publisher", SimpleNamespace(connect=connect))
    names: dict[str, Any] = {}
    exec("import os", names)  # noqa: S102  imports of the examples
    await eval(program, names)  # noqa: S307  the documentation's own code
    calls = publisher.request.await_args_list + publisher.publish.await_args_list
    assert len(calls) == 2
    for domain_name, command_type, body in (call.args for call in calls):
        assert domain_name == library.name
        library.parse(command_type, body, allow_unknown_fields=False)


async def test_the_documented_call_schedules_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://worker@mq/")
    publisher = create_autospec(Publisher, instance=True, spec_set=True)

    @asynccontextmanager
    async def connect(*_: Any) -> AsyncIterator[Publisher]:
        yield publisher

    shown, decider = code("docs/time.md")
    assert all(part in page("handlers/library/mark_loan_overdue.py") for part in decider.strip().split("\n\n\n")[1:])
    program = compile(shown, "docs/time.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(program, CodeType)
    monkeypatch.setattr(worker, "Publisher", SimpleNamespace(connect=connect))
    names: dict[str, Any] = {}
    await eval(program, names)  # noqa: S307  the documentation's own code
    (domain_name, command_type, body, at) = publisher.schedule.await_args.args
    assert domain_name == library.name
    command = library.parse(command_type, body, allow_unknown_fields=False)
    assert isinstance(command, MarkLoanOverdue)
    assert command.at == at
    publisher.cancel.assert_awaited_once_with(library.name, publisher.schedule.return_value)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_named_pages_exist(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (path.parent / target).exists(), target
    for name in re.findall(r"docs/\w+\.md", text):
        assert (ROOT / name).exists(), name


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_headings_that_exist(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", path.read_text()):
        assert anchor in anchors(path.parent / target if target else path), f"{target}#{anchor}"


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_named_files_exist(name: str) -> None:
    tree = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    for named in re.findall(r"`(?:MODEL[^ ]* )?([\w/.]+\.py)`", page(name)):
        assert any(path == named or path.endswith(f"/{named}") for path in tree), named


def test_every_setting_is_described_with_its_default() -> None:
    text = page("docs/settings.md")
    for name, field in Settings.described().items():
        row = re.search(rf"^\| `{name.upper()}` \|(.*)\|(.*)\|$", text, re.MULTILINE)
        assert row is not None, name
        default = (
            ""
            if field.default in ("", ())
            else f"`{field.default:g}`"
            if isinstance(field.default, float)
            else f"`{field.default}`"
        )
        assert row[1].strip().startswith(default)
        assert row[2].strip() == field.meaning


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_names_a_setting_that_does_not_exist(path: Path) -> None:
    named = set(re.findall(r"\b(?:WORKER|DATABASE|AMQP)_[A-Z_]+\b", path.read_text()))
    known = {name.upper() for name in Settings.described()} | {file_variable(name) for name in IN_FILES}
    # Settings for one domain, in the examples.
    known |= set(own_variables(dict.fromkeys(named, "")))
    # Variables of compose.yaml, not settings of the worker; and DATABASE_URL_<DOMAIN> and similar ones.
    assert {name.rstrip("_") for name in named} - known <= {"WORKER_IMAGE", "DATABASE"}


def test_every_reason_of_a_dead_letter_is_described() -> None:
    source = "".join(
        (ROOT / "worker" / name).read_text()
        for name in (
            "message.py",
            "body_form.py",
            "rounds/prepared_command.py",
            "schedule/deliver_at.py",
            "schedule/request.py",
            "schedule/storing.py",
            "settlement.py",
        )
    )
    raised = set(re.findall(r'BadMessage\(\s*"(\w+)"', source)) | set(re.findall(r'_named\("(\w+)"\)', source))
    described = first_cells(page("docs/messages.md").split("| reason |")[1])
    raised |= set(BROKER_REASONS)
    # A pause is never the reason of a dead letter; the default is for impossible cases.
    assert raised - {"store_unavailable", "unknown_failure"} <= described
    assert {name for name in described if "_" in name and name.islower()} <= raised


def test_every_outcome_of_a_reply_is_described() -> None:
    for outcome in get_args(ReplyOutcome):
        assert f"`{outcome}`" in page("docs/messages.md")


def test_every_metric_is_described_with_its_unit() -> None:
    source = "".join(
        (ROOT / name).read_text()
        for name in (
            "eventstore/metrics.py",
            "eventstore/postgres/metrics.py",
            "worker/telemetry/metrics.py",
            "worker/reading/metrics.py",
            "worker/schedule/metrics.py",
        )
    )
    made = set(re.findall(r'create_\w+\(\s*"([\w.]+)",.*?unit="(.*?)"', source, re.DOTALL))
    assert len(made) == source.count("meter.create_")
    table = page("docs/telemetry.md").split("| name | unit |")[1]
    assert set(re.findall(r"^\| `([\w.]+)` \| (\S+) \|", table, re.MULTILINE)) == made


def test_every_scenario_of_the_library_is_described_with_its_parameters() -> None:
    text = page("docs/load.md")
    for kind in library.scenarios:
        row = re.search(rf"^\| `{kind.name}` \| (.*) \| ?(.*)\|$", text, re.MULTILINE)
        assert row is not None, kind.name
        assert row[1].strip() == kind.stresses
        told = re.findall(r"`(\w+)` ([\d.]+)", row[2])
        assert told == [(each.name, f"{each.value:g}") for each in kind().parameters()]


def test_every_figure_of_a_load_run_is_described() -> None:
    table = page("docs/load.md").split("| figure | what it says |")[1].split("\n\n")[0]
    assert first_cells(table) == set(Summary.model_fields)


def test_the_documented_scenario_is_the_tested_one() -> None:
    (*_, shown) = code("docs/handlers.md")
    assert shown.strip() in SHOP


def test_the_documented_upcasters_are_the_tested_ones() -> None:
    (shown,) = [block for block in code("docs/handlers.md") if "Upcaster(" in block]
    tested = page("tests/support/domains/members.py")
    for part in shown.strip().split("\n\n\n"):
        assert part in tested


def test_the_documented_projection_is_the_tested_one() -> None:
    declared, test, _ = code("docs/reading.md")
    source = page("handlers/library/projections.py")
    for part in declared.strip().split("\n\n\n"):
        assert part in source
    names: dict[str, object] = {**vars(projections), **vars(library_events), "kit": kit, "domain": library}
    exec(test, names)  # noqa: S102  the documentation's own code
    run = names["test_a_book_is_lent_out_until_it_is_returned"]
    assert callable(run)
    run()


def test_the_documented_reaction_and_relay_are_the_tested_ones() -> None:
    reaction, test, relay = code("docs/reacting.md")
    source = page("handlers/library/reactions.py")
    for part in (*reaction.strip().split("\n\n\n"), relay.strip()):
        assert part in source
    names: dict[str, object] = {**vars(reactions), **vars(library_events), "kit": kit, "domain": library}
    exec(test, names)  # noqa: S102  the documentation's own code
    run = names["test_a_cancelled_contract_releases_the_readers_reservations"]
    assert callable(run)
    run()


async def test_the_documented_program_waits_for_a_projection() -> None:
    *_, shown = code("docs/reading.md")
    models = create_autospec(ReadModels, instance=True, spec_set=True)
    models.__aenter__.return_value = models
    publisher = create_autospec(Publisher, instance=True, spec_set=True)
    publisher.request.return_value = SimpleNamespace(position=Position(number=7, token=3))
    names: dict[str, Any] = {"ReadModels": lambda _: models, "publisher": publisher, "command": {}, "url": ""}
    exec(f"async def shown():\n    {shown.replace(chr(10), chr(10) + '    ')}", names)  # noqa: S102  the same
    await names["shown"]()
    models.wait_for.assert_awaited_once_with("library.books-lent-out", Position(number=7, token=3), seconds=5)
    assert library.projection("books-lent-out") is projections.lent_out


def test_the_documented_web_program_is_the_tested_one() -> None:
    # Methods are shown without the indentation of their class.
    source = "\n".join(map(str.strip, WEB.splitlines()))
    blocks = code("docs/web.md")
    assert blocks
    for block in blocks:
        for part in block.strip().split("\n\n\n"):
            assert "\n".join(map(str.strip, part.splitlines())) in source


def test_a_role_behind_pgbouncer_has_the_settings_of_our_connections() -> None:
    text = page("docs/database.md")
    assert dict(re.findall(r"^ALTER ROLE worker SET (\w+) = '([^']+)';$", text, re.MULTILINE)) == SESSION_SETTINGS
    ignored = re.search(r"^ignore_startup_parameters = (.*)$", text, re.MULTILINE)
    assert ignored is not None
    # PgBouncer passes the application's name on by itself.
    assert set(ignored[1].split(",")) == set(SESSION_SETTINGS)
