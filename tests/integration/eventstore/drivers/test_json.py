"""No statement of the store's sends or is sent JSON as such: programs have drivers make what they like of it."""

import re
from importlib.resources import files

import pytest

from eventstore.postgres.statements import statement
from tests.integration.eventstore.staging import Connection

# What administrators ask, by connections of their own.
_OF_ADMINISTRATORS = re.compile(
    r"adopted_sum|collation|disrepair|imports?|older_sessions|prun|receipts_since|retention|set_head|source_|states_|stats"
    r"|surroundings|survey|lift"
)
_STATEMENTS = sorted(
    path.name.removesuffix(".sql")
    for path in (files("eventstore.postgres") / "sql").iterdir()
    if path.name.endswith(".sql") and not _OF_ADMINISTRATORS.match(path.name)
)


@pytest.mark.parametrize("name", _STATEMENTS)
async def test_a_statement_has_json_as_text(runtime: Connection, name: str) -> None:
    prepared = await runtime.prepare(statement(name))
    types = [each.name for each in prepared.get_parameters()] + [each.type.name for each in prepared.get_attributes()]
    assert not {"json", "jsonb", "json[]", "jsonb[]"} & set(types)
