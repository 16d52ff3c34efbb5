"""``worker load list | compare``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from handlers.domain import Domain
from handlers.scenario import Scenario
from worker.cli.options import Json
from worker.cli.terminal import print_json, table, tell
from worker.failures import Mistake
from worker.load.comparison import comparison, differences
from worker.load.figures import brief
from worker.load.summary import Summary
from worker.served_domains import served_domains
from worker.settings import Settings

__all__ = ["compare", "list_scenarios"]


def list_scenarios(*, json: Json = False) -> None:
    """List the scenarios of the domains of WORKER_DOMAINS: what each stresses, and its parameters."""
    found = [(domain, kind) for domain in served_domains(Settings.load(needs=())) for kind in domain.scenarios]
    if json:
        print_json([_described(domain, kind) for domain, kind in found])
        return
    if not found:
        tell("The domains of WORKER_DOMAINS have no scenarios.")
        return
    scenarios = table("domain", "scenario", "what it stresses")
    parameters = table(
        "scenario", "parameter", "default", "unit", "meaning", title="\nParameters, for --set NAME=VALUE"
    )
    for domain, kind in found:
        scenarios.add_row(domain.name, kind.name, kind.stresses)
        for each in kind().parameters():
            parameters.add_row(kind.name, each.name, f"{each.value:g}", each.unit, each.meaning)
    tell(scenarios)
    if parameters.row_count:
        tell(parameters)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What `worker load run --json A.json` wrote.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The other run.")],
    *,
    json: Json = False,
) -> None:
    """Compare two load runs. Differences in their settings come first."""
    one, other = _read(first), _read(second)
    rows, told = list(comparison(one, other)), differences(one, other)
    if json:
        figures = [
            {"name": row.name, "unit": row.unit, "a": row.first, "b": row.second, "change": row.change} for row in rows
        ]
        print_json({"differences": told, "figures": figures})
        return
    for difference in told:
        tell(f"not the same: {difference}")
    listing = table("figure", first.name, second.name, "change", "unit")
    for column in listing.columns[1:4]:
        column.justify = "right"
    for row in rows:
        values = ("not measured" if value is None else brief(value) for value in (row.first, row.second))
        listing.add_row(row.name, *values, "" if row.change is None else f"{row.change:+.1%}", row.unit)
    tell(listing)


def _read(path: Path) -> Summary:
    try:
        return Summary.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{each}: " for each in first["loc"][:1])
        raise Mistake(f"{path} is not what `worker load run --json` writes: {where}{first['msg']}.") from error


def _described(domain: Domain, kind: type[Scenario]) -> dict[str, Any]:
    return {
        "domain": domain.name,
        "scenario": kind.name,
        "stresses": kind.stresses,
        "parameters": [
            {"name": each.name, "default": each.value, "unit": each.unit, "meaning": each.meaning}
            for each in kind().parameters()
        ],
    }
