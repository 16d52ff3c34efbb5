"""A group of commands, each of which is imported when it is called."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from worker.cli.current_folder import look_in_current_folder
from worker.cli.parameter_names import name_plainly
from worker.cli.plain_parameters import read_plainly

__all__ = ["Entry", "group"]


class _Command(TyperCommand):
    """A command that has been imported."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters."""
        return name_plainly(read_plainly(super().get_params(ctx)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command that is not imported yet.

    Attributes:
        name: The name that is typed.
        target: Its function, as ``module:attribute`` or ``module:object.method``.
        help: Its description, in place of the first paragraph of the function's docstring. Lists show the first
            sentence.
        any_option: Whether an argument may look like an option, such as a negative number.
    """

    name: str
    target: str
    help: str
    any_option: bool = False

    @property
    def in_a_list(self) -> str:
        """The first sentence of the description, for lists."""
        first, end, _ = self.help.partition(". ")
        return f"{first}." if end else first

    def load(self) -> Any:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        function = attrgetter(attribute)(import_module(module))
        look_in_current_folder()
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        _, *more = (getdoc(function) or "").split("\n\n")
        alone.command(
            self.name,
            cls=_Command,
            context_settings={"ignore_unknown_options": self.any_option},
            help="\n\n".join([self.help, *more]),
        )(function)
        return typer.main.get_command(alone)


def group(
    entries: Iterable[Entry],
    *,
    help: str,  # noqa: A002  Typer's own name
    below: Mapping[str, Iterable[Entry]] = MappingProxyType({}),
    **options: Any,
) -> typer.Typer:
    """Make a group that lists its commands, and completes their names, without importing them.

    Args:
        entries: The commands, in the order of lists; groups that are added later follow them.
        help: The description of the group.
        below: Commands that are typed after another one of the group, which takes no arguments itself.
        options: Further arguments of ``typer.Typer``.
    """
    listed = {entry.name: entry for entry in entries}
    deeper = {name: {entry.name: entry for entry in under} for name, under in below.items()}

    class Group(TyperGroup):
        """Has the list texts of all commands, and imports the one that is called."""

        def __init__(self, *, commands: dict[str, Any], **attributes: Any) -> None:
            shown = {
                name: TyperCommand(name, help=entry.help, short_help=entry.in_a_list) for name, entry in listed.items()
            }
            super().__init__(commands={**shown, **commands}, **attributes)

        def get_params(self, ctx: Any) -> list[Any]:
            """Return its parameters."""
            return name_plainly(read_plainly(super().get_params(ctx)))

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            """Return the command that is called, or whose options the shell completes."""
            name, command, rest = super().resolve_command(ctx, args)
            if rest and (entry := deeper.get(name or "", {}).get(rest[0])) is not None:
                return f"{name} {entry.name}", entry.load(), rest[1:]
            return name, listed[name].load() if name in listed else command, rest

    return typer.Typer(
        cls=Group, help=help, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, **options
    )
