"""The schema of a store: which names it may have, and that all SQL of ours is read for it, whichever file it is in."""

import inspect
import re
from collections.abc import Callable

import pytest

from eventstore import StoreMisconfigured, postgres
from eventstore.postgres import PostgresEventStore, Schema, Session
from eventstore.postgres.schema import schemas_beside
from eventstore.postgres.statements import sql_texts
from eventstore.schema_name import LONGEST_NAME, schema_name_complaint

TENANT = Schema("tenant_1")
TEXTS = list(sql_texts())
# A call with its first argument, and what may stand there: a number, or the hash of a text.
LOCKS = re.compile(r"pg_(?:try_)?advisory_\w*lock\w*\(\s*(hashtextextended\([^\n]*?, \d+\)|[^,)]+)")
NAMED = re.compile(r'(?<![\w"])(eventstore|' + "|".join(schemas_beside()) + r")(?:_\w+)?(?=\.[a-z%])")


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


@pytest.mark.parametrize("name", ["eventstore", "a", "tenant_1", "well_read", "spread_sheets", "x" * LONGEST_NAME])
def test_what_a_schema_may_be_called(name: str) -> None:
    assert schema_name_complaint(name) is None
    assert Schema(name).role("runtime") == f"{name}_runtime"


@pytest.mark.parametrize(
    "name",
    [
        *("", "Tenant", "1st", "a-b", "a b", 'a"b', "a;b", "größe", "_a", "a\n", "x" * (LONGEST_NAME + 1)),
        *("user", "order", "values", "time", "public", "information_schema", "pg_temp", "pg_tenant"),
        # What belongs to the store of the usual name, or to one that is called a.
        *(
            "reading",
            "schedule",
            "read_orders",
            "projection_1",
            "a_reading",
            "a_projection_12",
            "a_read_b",
            "a_runtime",
        ),
    ],
)
def test_what_it_may_not_be_called_is_refused_in_a_sentence(name: str) -> None:
    complaint = schema_name_complaint(name)
    assert complaint is not None
    assert "\n" not in complaint
    for refusing in (lambda: Schema(name), lambda: Session("postgresql://db/a", purpose="test", schema=name)):
        with pytest.raises(StoreMisconfigured, match=re.escape(complaint)):
            refusing()


def test_what_is_named_after_a_store_can_be_no_other_store() -> None:
    """Whatever the files of SQL make beside a store: a store of that name would be in its way."""
    roles = {name for sql in TEXTS for name in re.findall(r"\beventstore(_[a-z]+)\b", without_comments(sql))}
    assert roles == {"_runtime", "_projections"}
    assert {"reading", "schedule"} <= schemas_beside()
    for name in (*(f"a{role}" for role in roles), *(f"a_{beside}" for beside in schemas_beside()), *schemas_beside()):
        assert schema_name_complaint(name) is not None, name


def test_all_files_are_read_for_the_schema_and_are_as_they_were_for_the_usual_one() -> None:
    found: set[str] = set()
    for sql in TEXTS:
        assert Schema().render(sql) == sql
        text = TENANT.render(sql)
        named = NAMED.findall(without_comments(sql))
        found.update(named)
        assert not NAMED.findall(without_comments(text)), sql
        assert not re.search(r"\beventstore(_\w+)?\b", text), sql
        assert not re.search(r"\bSCHEMA (reading|schedule)\b|search_path = (reading|schedule)\b", text), sql
        assert text.count("\n") == sql.count("\n")
    assert {"eventstore", *schemas_beside()} == found


def test_what_is_no_name_of_ours_stays_as_it_is() -> None:
    for text in (
        'SELECT FROM "eventstore"."reading" r WHERE r."schedule" = $1',
        "SELECT FROM my_eventstore.events",
        "SELECT FROM eventstores.events",
        "SELECT f.reading, 'schedule' FROM x WHERE f.kind = 'schedule'",
        "SELECT FROM proofreading.notes",
        "SET LOCAL search_path = projection_7, pg_temp",
    ):
        assert TENANT.render(text) == text


def test_each_store_has_advisory_locks_of_its_own() -> None:
    """Those that take any: a lock that two stores share would have one wait for the other."""
    other, seen = Schema("other"), 0
    for sql in TEXTS:
        ours, theirs = (LOCKS.findall(schema.render(without_comments(sql))) for schema in (Schema(), TENANT))
        seen += len(ours)
        assert not set(ours) & set(theirs), sql
        assert not set(theirs) & set(LOCKS.findall(other.render(without_comments(sql)))), sql
    assert seen >= 6
    assert len({schema.lock(7) for schema in (Schema(), TENANT, other)}) == 3
    assert Schema().lock(7) == 7
    # Two numbers are of 32 bits each.
    (first,) = re.findall(r"\((\d+), 13\)", TENANT.render("SELECT pg_advisory_xact_lock(1163284301, 13)"))
    assert int(first) < 2**31


def test_whatever_asks_for_the_address_of_a_store_also_asks_for_its_schema() -> None:
    asking: dict[str, Callable[..., object]] = {
        "connect": PostgresEventStore.connect,
        "over": PostgresEventStore.over,
        "Session": Session,
    }
    for name in postgres.__all__:
        if inspect.isfunction(found := getattr(postgres, name)):
            asking[name] = found
    for name, each in asking.items():
        parameters = inspect.signature(each).parameters
        if parameters.keys() & {"url", "admin_url", "primary_url", "pool_or_engine"}:
            assert parameters["schema"].default == "eventstore", name
            assert parameters["schema"].kind is inspect.Parameter.KEYWORD_ONLY, name
    assert "schema" in inspect.signature(asking["migrate"]).parameters
