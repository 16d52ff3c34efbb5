"""Options that several commands have."""

from typing import Annotated

import typer

__all__ = ["ControlSocket", "DomainOption", "Json", "LogOption", "Replica", "Yes"]

DomainOption = Annotated[
    str | None,
    typer.Option(metavar="DOMAIN", help="Only this domain's database, where domains have databases of their own."),
]
LogOption = Annotated[
    str | None,
    typer.Option(metavar="DOMAIN", help="The domain whose log is meant, where domains have databases of their own."),
]
Replica = Annotated[bool, typer.Option("--replica", help="Read from a replica if one answers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
ControlSocket = Annotated[int | None, typer.Option(hidden=True)]
