"""The help pages of commands."""

import re

import pytest
from typer.testing import CliRunner

from worker.cli.app import COMMANDS, app


def help_of(*words: str) -> str:
    return CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).output


@pytest.mark.parametrize("group", COMMANDS)
def test_lists_of_commands_truncate_no_sentence(group: str) -> None:
    listed = help_of(*group.split()).partition("Commands:")[2] if group != "events" else ""
    assert "..." not in listed
    # Wrapped lines are joined.
    told = re.sub(r"\s+", " ", listed)
    for entry in COMMANDS[group] if listed else ():
        assert f" {entry.name} {entry.in_a_list}" in told


@pytest.mark.parametrize("words", [(*group.split(), each.name) for group, every in COMMANDS.items() for each in every])
def test_values_are_named_in_plain_words(words: tuple[str, ...]) -> None:
    """Not by a Python type."""
    told = help_of(*words)
    assert (
        re.findall(
            r" <(?!ndjson)[^>]*>|[{}]|<=|>=|\d{9,}",
            told.replace('{"type": ..., "body": {...}, "id":', "").replace("optional}", ""),
        )
        == []
    )
