"""What the server does for a prepared statement: its plan, and how many rows it touched."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.integration.eventstore.staging import Connection


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was carried out."""

    root: dict[str, Any]

    def indexes(self) -> set[str]:
        """The indexes in which something was found."""
        return {_index(node["Index Name"]) for node in _nodes(self.root) if "Index Name" in node and _rows(node) > 0}

    @property
    def returned(self) -> float:
        """How many rows the statement returned."""
        return float(self.root["Actual Rows"])

    def touched(self, table: str) -> float:
        """How many rows of a table were fetched, also those that were thrown away again."""
        return sum(_rows(node) for node in _nodes(self.root) if _table(node.get("Relation Name", "")) == table)

    def opened(self) -> set[str]:
        """The tables that were made ready to be looked into, whether or not something was looked for."""
        return {node["Relation Name"] for node in _nodes(self.root) if "_from_" in node.get("Relation Name", "")}

    def expanded(self, function: str) -> float:
        """How many rows a function returned, over all its calls."""
        return sum(_rows(node) for node in _nodes(self.root) if node.get("Function Name") == function)

    @property
    def is_sequential(self) -> bool:
        """Whether any table but the one-row head is read from end to end."""
        return any(
            node["Node Type"] == "Seq Scan"
            and node["Relation Name"] not in {"store", "schema_version"}
            and node["Actual Loops"] > 0
            for node in _nodes(self.root)
        )


async def plans(connection: Connection, text: str, parameters: Sequence[object], *, times: int = 8) -> list[Plan]:
    """Prepare a statement anew and carry it out so many times; return the plan of each."""
    await connection.execute("DEALLOCATE ALL")
    await connection.execute(f"PREPARE asked AS {text}")
    arguments = ", ".join(map(_literal, parameters))
    call = f"EXECUTE asked ({arguments})" if arguments else "EXECUTE asked"
    found = []
    for _ in range(times):
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) {call}")
        found.append(Plan(json.loads(explained)[0]["Plan"]))
    return found


# What the indexes of a partition are called by themselves.
_OWN_NAMES = {"payload_idx": "payload", "event_type_sequence_number_idx": "type", "occurred_at_idx": "occurred_at"}


def _index(name: str) -> str:
    table, _, rest = name.partition("_from_")
    own = rest.partition("_")[2]
    return f"{table}_{_OWN_NAMES.get(own, own)}" if rest else name


def _table(name: str) -> str:
    return name.partition("_from_")[0]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _rows(node: dict[str, Any]) -> float:
    counts = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float(node["Actual Loops"] * sum(node.get(count, 0) for count in counts))


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    text = "{" + ",".join(map(_element, value)) + "}" if isinstance(value, list) else str(value)
    return "'" + text.replace("'", "''") + "'"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
