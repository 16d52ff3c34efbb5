"""The inspection of a domain before any server is contacted."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.domains.guests import SETTINGS
from worker.cli.database_inspection import inspect_database
from worker.cli.inspection import inspect
from worker.settings import Settings
from worker.stores import stores_of

# A port without a listener.
NOWHERE = "postgresql://a:b@127.0.0.1:1"
SHELF = """
from dataclasses import replace
from eventstore import Filter, P
from handlers import View
from tests.unit.handlers.lamps import domain as lamps, evolve

def by_name(name: str) -> Filter:
    return Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("lamp", name))

def by_any(name) -> Filter:
    return Filter.matching().any_event_type_of("SwitchedOn").and_any_predicate_of(P("Lamp", name))

misspelt = View(name="misspelt", events=by_name, initial=lambda _: "off", evolve=evolve)
undeclared = View(name="undeclared", events=by_any, initial=lambda _: "off", evolve=evolve)
domain = replace(lamps, views=(*lamps.views, misspelt, undeclared))
"""


async def test_a_view_that_matches_no_event_is_an_error_and_one_that_cannot_be_examined_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dim_lamps.py").write_text(SHELF)
    monkeypatch.syspath_prepend(tmp_path)
    found = await inspect(Settings(worker_domains="dim_lamps:domain"))
    place = f"{tmp_path / 'dim_lamps.py'}"
    assert [(each.part, each.good, each.text) for each in found[:3]] == [
        ("domains", True, "lamps (1 command)"),
        (
            "views of lamps",
            False,
            (
                f"the view misspelt ({place}:7) asks SwitchedOn for the field 'lamp', which it does not have "
                "(did you mean Lamp?)."
            ),
        ),
        (
            "views of lamps",
            True,
            (
                f"the view undeclared ({place}:10) cannot be examined: events declares no type for name that has a "
                "sample"
            ),
        ),
    ]


async def test_a_domain_with_sealed_fields_needs_a_master_key() -> None:
    served = "tests.support.domains.guests:domain"
    (lacking,) = [each for each in await inspect(Settings(worker_domains=served)) if each.part == "master keys"]
    assert not lacking.good
    assert lacking.text.startswith("WORKER_MASTER_KEYS is not set, and the domain guests has events with Sensitive ")
    (present,) = [
        each for each in await inspect(replace(SETTINGS, worker_domains=served)) if each.part == "master keys"
    ]
    assert (present.good, present.text) == (True, "set, for guests")


async def test_a_variable_that_keeps_a_worker_from_starting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert not [each for each in await inspect(Settings()) if each.part == "telemetry"]
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "0")
    (wrong,) = [each for each in await inspect(Settings()) if each.part == "telemetry"]
    assert (wrong.good, wrong.text) == (
        False,
        "OTEL_BSP_SCHEDULE_DELAY must be a whole number above 0, not '0'.",
    )


async def test_a_server_that_cannot_be_reached_is_told_with_the_variable_of_its_address() -> None:
    own = {"DATABASE_URL_TALLY": f"{NOWHERE}/own", "DATABASE_REPLICA_URLS_TALLY": f"{NOWHERE}/copy"}
    settings = Settings(worker_domains="tests.support.domains.tally:domain", domain_databases=own)
    found = {each.part: each.text for each in await inspect(settings)}
    (store,) = stores_of(settings, ["tally"])
    detailed = {each.part: each.text for each in await inspect_database(store, stores=[store], pool_size=1)}
    for texts in (found, detailed):
        assert "or correct DATABASE_URL_TALLY." in texts["database 127.0.0.1:1/own"]
        assert "or correct DATABASE_REPLICA_URLS_TALLY." in texts["replica 127.0.0.1:1/copy"]
