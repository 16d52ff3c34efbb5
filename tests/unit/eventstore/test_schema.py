"""The schema of a store: valid names, and the replacement of the schema in all SQL files."""

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
# A call with its first argument, and its valid forms: a number, or the hash of a text.
LOCKS = re.compile(r"pg_(?:try_)?advisory_\w*lock\w*\(\s*(hashtextextended\([^\n]*?, \d+\)|[^,)]+)")
NAMED = re.compile(r'(?<![\w"])(eventstore|' + "|".join(schemas_beside()) + r")(?:_\w+)?(?=\.[a-z%])")


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


@pytest.mark.parametrize("name", ["eventstore", "a", "tenant_1", "well_read", "spread_sheets", "x" * LONGEST_NAME])
def test_a_valid_schema_name_is_accepted(name: str) -> None:
    assert schema_name_complaint(name) is None
    assert Schema(name).role("runtime") == f"{name}_runtime"


@pytest.mark.parametrize(
    "name",
    [
        *("", "Tenant", "1st", "a-b", "a b", 'a"b', "a;b", "größe", "_a", "a\n", "x" * (LONGEST_NAME + 1)),
        *("user", "order", "values", "time", "public", "information_schema", "pg_temp", "pg_tenant"),
        # Names of objects of the default store, or of a store named a.
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
def test_an_invalid_schema_name_is_refused_in_a_sentence(name: str) -> None:
    complaint = schema_name_complaint(name)
    assert complaint is not None
    assert "\n" not in complaint
    for refusing in (lambda: Schema(name), lambda: Session("postgresql://db/a", purpose="test", schema=name)):
        with pytest.raises(StoreMisconfigured, match=re.escape(complaint)):
            refusing()


def test_names_derived_from_a_stores_schema_are_no_valid_schema_names() -> None:
    """SQL files create schemas beside a store: another store must not have such a name."""
    roles = {name for sql in TEXTS for name in re.findall(r"\beventstore(_[a-z]+)\b", without_comments(sql))}
    assert roles == {"_runtime", "_projections"}
    assert {"reading", "schedule"} <= schemas_beside()
    for name in (*(f"a{role}" for role in roles), *(f"a_{beside}" for beside in schemas_beside()), *schemas_beside()):
        assert schema_name_complaint(name) is not None, name


def test_all_files_are_changed_for_another_schema_and_unchanged_for_the_default() -> None:
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


def test_other_names_are_unchanged() -> None:
    for text in (
        'SELECT FROM "eventstore"."reading" r WHERE r."schedule" = $1',
        "SELECT FROM my_eventstore.events",
        "SELECT FROM eventstores.events",
        "SELECT f.reading, 'schedule' FROM x WHERE f.kind = 'schedule'",
        "SELECT FROM proofreading.notes",
        "SET LOCAL search_path = projection_7, pg_temp",
    ):
        assert TENANT.render(text) == text


def test_each_store_has_its_own_advisory_locks() -> None:
    """With a shared lock, one store would wait for the other."""
    other, seen = Schema("other"), 0
    for sql in TEXTS:
        ours, theirs = (LOCKS.findall(schema.render(without_comments(sql))) for schema in (Schema(), TENANT))
        seen += len(ours)
        assert not set(ours) & set(theirs), sql
        assert not set(theirs) & set(LOCKS.findall(other.render(without_comments(sql)))), sql
    assert seen >= 6
    assert len({schema.lock(7) for schema in (Schema(), TENANT, other)}) == 3
    assert Schema().lock(7) == 7
    # The form with two arguments takes 32-bit numbers.
    (first,) = re.findall(r"\((\d+), 13\)", TENANT.render("SELECT pg_advisory_xact_lock(1163284301, 13)"))
    assert int(first) < 2**31


def test_every_function_with_a_stores_address_also_takes_its_schema() -> None:
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
