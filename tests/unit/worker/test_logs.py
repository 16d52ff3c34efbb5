"""The content and format of log lines."""

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import NoReturn

import pytest
from pydantic import TypeAdapter, ValidationError

from handlers import Decider, DomainEvent, InvalidParts
from handlers.complaint import fields_of
from tests.unit.handlers.lamps import SwitchedOn, SwitchOn
from tests.unit.handlers.lamps import domain as lamps
from worker.rounds.forwarding import ERROR_HEADER, explain
from worker.telemetry.logs import _HumanLines, _JsonLines, concerning, whereabouts

_SAY = (
    "import logging, sys; from worker.telemetry.logs import configure_logs; configure_logs(); logging.warning('it is')"
)
COMMAND = {"command_id": "c1", "command_type": "Count", "domain": "tally"}


def said(formatter: logging.Formatter, text: str = "it is") -> str:
    return formatter.format(logging.LogRecord("worker.x", logging.WARNING, __file__, 1, text, (), None))


def on_a_terminal(**variables: str) -> str:
    """The output of a process whose standard error is a terminal."""
    ours, theirs = os.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", **variables}
    try:
        subprocess.run([sys.executable, "-c", _SAY], stderr=theirs, env=environment, check=True)
        return os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_line_names_the_command_that_it_concerns() -> None:
    with concerning(**COMMAND):
        told = json.loads(said(_JsonLines()))
        line = said(_HumanLines(coloured=False))
    assert {name: told[name] for name in COMMAND} == COMMAND
    assert (told["message"], told["level"], told["process"]) == ("it is", "warning", os.getpid())
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning it is  command_id=c1  command_type=Count  domain=tally", line)
    assert "command_id" not in json.loads(said(_JsonLines()))
    with concerning(command_id=None, command_type="", domain="tally"):
        assert json.loads(said(_JsonLines())).keys() & COMMAND.keys() == {"domain"}


def test_figures_are_only_in_json() -> None:
    record = logging.LogRecord("worker.x", logging.INFO, __file__, 1, "drained: no delivery came in", (), None)
    record.data = {"figures": {"received": 0}}
    assert json.loads(_JsonLines().format(record))["figures"] == {"received": 0}
    assert _HumanLines(coloured=False).format(record).endswith("drained: no delivery came in")


def test_a_text_line_contains_no_control_characters() -> None:
    with concerning(command_id="\x1b[2J\nerror", command_type=None, domain="tally"):
        line = said(_HumanLines(coloured=False), "\x1b]0;title\x07\nerror")
    assert line.isprintable()
    assert r"\x1b[2J\nerror" in line


def test_a_terminal_gets_text_in_colour_unless_disabled() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d \x1b\[33mwarning\x1b\[0m it is\r\n", on_a_terminal())
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning it is\r\n", on_a_terminal(NO_COLOR="1"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning it is\r\n", on_a_terminal(TERM="dumb"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("'human', 'warning'", r"\d\d:\d\d:\d\d warning it is\n"),
        ("'human', 'error'", ""),
        ("'json'", r'\{"time": .*, "level": "warning", .*\}\n'),
        ("", r'\{"time": .*, "level": "warning", .*\}\n'),  # standard error is not a terminal
    ],
)
def test_format_and_level_can_be_chosen(arguments: str, line: str) -> None:
    code = _SAY.replace("configure_logs()", f"configure_logs({arguments})")
    process = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=True)
    assert re.fullmatch(line, process.stderr)


def test_a_location_omits_the_failures_message() -> None:
    with pytest.raises(ValueError, match="a secret") as raised:
        int("a secret")
    assert re.fullmatch(rf"ValueError in test_\w+ \({re.escape(__file__)}:\d+\)", whereabouts(raised.value))
    assert whereabouts(ValueError("a secret")) == "ValueError"


def test_a_location_is_the_innermost_line_of_the_domain() -> None:
    """Not a line of a library below it, or of our code above it."""

    def decide_badly(*_: object) -> NoReturn:
        SwitchedOn.model_validate({})
        raise AssertionError

    served = replace(lamps, deciders=(Decider(command=SwitchOn, parts=lambda _: (), decide=decide_badly),))
    command = SwitchOn(lamp="a")
    with pytest.raises(ValidationError) as raised:
        served.decide(command, served.reads(command), {})
    line = decide_badly.__code__.co_firstlineno + 1
    place = f"ValidationError in decide_badly ({__file__}:{line})"
    assert whereabouts(raised.value) == f"{place}: SwitchedOn.Lamp, SwitchedOn.Watts"
    explained = explain(raised.value, reason="handler_error", queue="lamps.commands", with_traceback=True)
    assert explained[ERROR_HEADER] == f"{place}: SwitchedOn: Lamp is missing; Watts is missing"


class Entry(DomainEvent):
    where: dict[str, int]


def test_fields_are_named_without_their_values() -> None:
    """The path of an error in a mapping contains the mapping's key."""
    with pytest.raises(ValidationError) as raised:
        Entry(where={"a secret": "here"})
    assert "a secret" in str(raised.value)
    assert fields_of(raised.value) == "Entry.where"
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(dict[str, int]).validate_python({"a secret": "here"})
    assert fields_of(raised.value) == ""


def test_a_location_without_a_line_of_the_domain_has_our_own_message() -> None:
    assert whereabouts(InvalidParts("parts of Switch (a.py:3) returns no part")) == (
        "InvalidParts: parts of Switch (a.py:3) returns no part"
    )
