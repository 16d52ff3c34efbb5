"""Usage errors: reported in one sentence with exit status 2, before anything is sent.

The broker is unreachable: a command that was sent would cause another error.
"""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.cli.main import main
from worker.settings import Settings

LAMPS = "tests.unit.handlers.lamps:domain"
ADA = '{"ReaderID": "ada", "Name": "Ada"}'
NOWHERE = "amqp://worker:secret@127.0.0.1:9/work"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("AMQP_URL", NOWHERE)
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain")
    monkeypatch.setattr(sys, "path", sys.path.copy())


class RunResult(SimpleNamespace):
    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> RunResult:
    monkeypatch.setattr(sys, "argv", ["worker", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    printed = capsys.readouterr()
    return RunResult(status=raised.value.code, out=printed.out, err=printed.err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("Register", ADA),
            (
                "there is no command 'Register'; did you mean RegisterReader? Known are AddBookCopyToCirculation, "
                "CancelReaderContract, LendBookCopyToReader, MarkLoanOverdue, RegisterReader, ReleaseReservations, "
                "RemoveBookCopyFromCirculation, ReserveBookCopy, ReturnBookCopyFromReader."
            ),
        ),
        (("RegisterReader", "{}"), "RegisterReader: ReaderID is missing; Name is missing."),
        (
            ("RegisterReader", '{"ReaderID": 5, "Name": "A"}'),
            "RegisterReader: ReaderID: input should be a valid string.",
        ),
        (
            ("RegisterReader", '{"ReaderID": "", "Name": "A"}'),
            "RegisterReader: ReaderID: string should have at least 1 character.",
        ),
        (
            ("RegisterReader", '{"ReaderID": "ada", "Name": "A", "Mane": "B"}'),
            "RegisterReader: Mane is not a field of it.",
        ),
        (
            ("RegisterReader", '{"reader_id": "ada", "Name": "A"}'),
            "RegisterReader: ReaderID is missing; reader_id is not a field of it.",
        ),
        (
            ("RegisterReader", '{"ReaderID": "a\\u0000", "Name": "A"}'),
            "RegisterReader: the body contains a NUL character, which PostgreSQL cannot store.",
        ),
        (("RegisterReader", "Ada"), "the body is not JSON: JSON is malformed: invalid character (byte 0)."),
        (("RegisterReader", '{"ReaderID": "ada"'), "the body is not JSON: Input data was truncated."),
        (("RegisterReader", "[]"), "the body must be a JSON object, not an array."),
        (("RegisterReader", "[" * 100), "the body is nested more than 64 levels deep."),
        (("RegisterReader", ADA, "--id", "42"), "the id '42' is not a UUID."),
        (("RegisterReader", ADA, "--domain", "shop"), "there is no domain 'shop' in WORKER_DOMAINS; it names library."),
        (("RegisterReader",), "name the COMMAND and its JSON, or pass --file commands.ndjson."),
        ((), "name the COMMAND and its JSON, or pass --file commands.ndjson."),
        (("--file", "/nowhere/commands"), "/nowhere/commands cannot be read: No such file or directory."),
        (("--file", "/"), "/ cannot be read: Is a directory."),
        (
            ("RegisterReader", ADA, "--file", "/dev/null"),
            "a file names its own commands and ids; leave out COMMAND and --id, or --file.",
        ),
        (
            ("--id", "0" * 32, "--file", "/dev/null"),
            "a file names its own commands and ids; leave out COMMAND and --id, or --file.",
        ),
        (("--file", "/dev/null"), "the file holds no command; write one JSON object a line."),
    ],
)
def test_an_invalid_command_is_not_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = run(capsys, monkeypatch, "publish", *arguments)
    assert (ran.status, ran.out, ran.err) == (2, "", f"worker: {sentence}\n")


def test_for_an_unknown_command_the_source_of_commands_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decider may be missing from the domain."""
    ran = run(capsys, monkeypatch, "publish", "Burn", "{}")
    assert ran.err.startswith("worker: there is no command 'Burn'; known are AddBookCopyToCirculation, ")
    assert ran.err.endswith(", by the deciders that the domains list.\n")


def test_standard_input_is_checked_as_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"ReaderID": "\xff"}')))
    ran = run(capsys, monkeypatch, "publish", "RegisterReader", "-")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("worker: the body is not JSON: ")


def test_a_command_of_several_domains_needs_the_domains_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "more_lamps.py").write_text(
        "from dataclasses import replace\nfrom tests.unit.handlers.lamps import domain as lamps\n"
        "from handlers import Domain\n"
        "domain = Domain(name='more', views=lamps.views, deciders=lamps.deciders, events=lamps.events)\n"
    )
    # The domain is found because the working directory is on the path.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_DOMAINS", f"{LAMPS},more_lamps:domain")
    ran = run(capsys, monkeypatch, "publish", "SwitchOn", "{}")
    assert ran.err == "worker: SwitchOn is a command of several domains (lamps, more); choose one with --domain.\n"
    ran = run(capsys, monkeypatch, "publish", "SwitchOn", "{}", "--domain", "more")
    assert (ran.status, ran.err) == (2, "worker: SwitchOn: Lamp is missing.\n")


def test_each_invalid_line_of_a_file_is_reported_up_to_ten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "commands.ndjson"
    wrong = [
        '{"type": "RegisterReader", "body": {"ReaderID": "r"}}',
        '{"type": "RegisterReader", "body": {}, "command_id": "x", "Type": "y"}',
        '{"type": 5, "body": {}}',
        '{"type": "RegisterReader", "body": "{}"}',
        '{"type": "RegisterReader", "body": {"ReaderID": "r", "Name": "N"}, "id": "x"}',
        '{"type": "Register", "body": {}',
    ]
    file.write_text("\n".join(['{"type": "CancelReaderContract", "body": {"ReaderID": "r"}}', *wrong, *["[nil]"] * 7]))
    ran = run(capsys, monkeypatch, "publish", "--file", str(file))
    assert (ran.status, ran.out) == (2, "")
    first, *problems = ran.err.splitlines()
    assert first == "worker: nothing was published:"
    assert problems == [
        "line 2: RegisterReader: Name is missing.",
        "line 3: a line has the fields type, body and id, not Type, command_id.",
        "line 4: the field type must be the command's name.",
        "line 5: the field body must be the command's JSON object.",
        "line 6: the id 'x' is not a UUID.",
        "line 7: the body is not JSON: Input data was truncated.",
        *[
            f"line {number}: the body is not JSON: JSON is malformed: invalid character (byte 5)."
            for number in range(8, 12)
        ],
        "and 3 more lines",
    ]


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (
            ("run",),
            {"WORKER_DOMAINS": "nowhere:domain", "DATABASE_URL": "postgresql://db/events"},
            (
                "WORKER_DOMAINS: nowhere cannot be imported: there is no module nowhere; "
                "run this in the folder that has it, install its package, or correct the name."
            ),
        ),
        (
            ("run",),
            {"DATABASE_URL": "mysql://db/events"},
            "DATABASE_URL: it must have the form postgresql://user:password@host:5432/database.",
        ),
        (
            ("run",),
            {},
            (
                "DATABASE_URL is not set; give it the form postgresql://user:password@host:5432/database, in each "
                "terminal."
            ),
        ),
        (
            ("run",),
            {"DATABASE_URL": "postgresql://db/events", "AMQP_URL": "amqp://mq:port"},
            "AMQP_URL: its port is not a number up to 65535; give it the form amqp://user:password@host:5672/vhost.",
        ),
        (
            ("publish", "RegisterReader", ADA),
            {"AMQP_URL": ""},
            "AMQP_URL is not set; give it the form amqp://user:password@host:5672/vhost, in each terminal.",
        ),
        (
            ("publish", "RegisterReader", ADA),
            {"WORKER_DOMAINS": "handlers.library:domian"},
            "WORKER_DOMAINS: handlers.library has no attribute domian; did you mean domain?",
        ),
        (
            ("publish", "RegisterReader", ADA),
            {"WORKER_DOMAINS": "handlers.library:scenarios"},
            "WORKER_DOMAINS: handlers.library:scenarios is no Domain, but a tuple; did you mean domain?",
        ),
        (("status", "42"), {}, "'42' is not a UUID; pass the id that `worker publish` printed."),
        (
            ("db", "migrate"),
            {},
            (
                "DATABASE_ADMIN_URL is not set; give it the form postgresql://owner:password@host:5432/database, in "
                "each terminal."
            ),
        ),
        (
            ("db", "prune", "--older-than", "90"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events"},
            "'90' is not an age: write hours, days or weeks, as in 36h, 90d or 12w.",
        ),
        (
            ("db", "prune", "--older-than", "23h", "--yes"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events"},
            (
                "23h is too short: for 24 hours a receipt may be needed to keep a redelivered command from being "
                "decided twice."
            ),
        ),
        (
            ("db", "prune", "--older-than", "2d", "--yes"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events", "WORKER_MAX_AGE": "180000"},
            (
                "2d is too short: for 50 hours a receipt may be needed to keep a redelivered command from being "
                "decided twice."
            ),
        ),
        (
            ("db", "states", "drop"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events"},
            "say which states to drop: --domain or --view, or --all and none of these.",
        ),
        (
            ("db", "states", "drop", "--all", "--view", "shelf"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events"},
            "say which states to drop: --domain or --view, or --all and none of these.",
        ),
        (
            ("db", "states", "drop", "--version", "2"),
            {"DATABASE_ADMIN_URL": "postgresql://db/events"},
            "--version belongs to a view: name it with --view.",
        ),
        (
            ("db", "states", "list"),
            {},
            (
                "DATABASE_ADMIN_URL is not set; give it the form postgresql://owner:password@host:5432/database, in "
                "each terminal."
            ),
        ),
        (
            ("projections", "list"),
            {
                "WORKER_DOMAINS": "handlers.library:domain",
                "DATABASE_URL": "postgresql://db/events",
                "PROJECTIONS_URL": "postgresql://worker@127.0.0.1:9/tables",
            },
            (
                "PostgreSQL cannot be reached at 127.0.0.1:9: connection refused; start the database or correct "
                "PROJECTIONS_URL."
            ),
        ),
        (
            ("reactions", "list"),
            {"WORKER_DOMAINS": "handlers.library:domain", "DATABASE_URL": "postgresql://worker@127.0.0.1:9/events"},
            (
                "PostgreSQL cannot be reached at 127.0.0.1:9: connection refused; start the database or correct "
                "DATABASE_URL."
            ),
        ),
        *(
            (
                (command,),
                {"WORKER_DOMAINS": LAMPS, "DATABASE_URL": "postgresql://db/events"},
                (f"no domain of WORKER_DOMAINS has a {kind}: lamps has none; a domain lists them, as {kind}s=(…,)."),
            )
            for command, kind in (("project", "projection"), ("react", "reaction"), ("relay", "relay"))
        ),
        (
            ("config",),
            {"WORKER_CONCURRENCY": "many"},
            "WORKER_CONCURRENCY: it must be a whole number.",
        ),
    ],
)
def test_invalid_settings_are_reported(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ran = run(capsys, monkeypatch, *arguments)
    assert (ran.status, ran.out, ran.err) == (2, "", f"worker: {sentence}\n")


TOO_LONG = f"/tmp/{'a' * 300}"  # noqa: S108  never created
SCENARIOS = "uncontended, hot-book, hot-reader, last-copies, overlapping, duplicate-storm, library-day, mixed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("hot-cake",), f"there is no scenario 'hot-cake'; did you mean hot-book? Known are {SCENARIOS}."),
        (("hot-book", "--domain", "shop"), "there is no domain 'shop' in WORKER_DOMAINS; it names library."),
        (("hot-book", "--set", "readers"), "'readers' sets nothing; write --set NAME=VALUE, as in --set readers=100."),
        (
            ("hot-book", "--set", "reader=5"),
            "hot-book: there is no parameter 'reader'; known are readers, wishes, kept.",
        ),
        # Both spellings of a scenario's name are accepted.
        (("hot_book", "--set", "readers=0"), "hot-book: readers: input should be greater than or equal to 1."),
        (
            ("hot-book", "--rate", "5", "--in-flight", "5"),
            "--rate is open load and --in-flight is closed load; choose one of them.",
        ),
        (
            ("hot-book", "--kill-every", "5"),
            "--kill-every kills workers that this run has started; pass --start-workers N as well.",
        ),
        (("hot-book", "--json", "/nowhere/a.json"), "/nowhere/a.json cannot be written: there is no such folder."),
        (("hot-book", "--report", "/"), "/ cannot be written: it is a folder."),
        # Also for root and in every folder: only opening the file shows it.
        (("hot-book", "--report", TOO_LONG), f"{TOO_LONG} cannot be written: File name too long."),
    ],
)
def test_an_invalid_load_is_not_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/events")
    ran = run(capsys, monkeypatch, "load", "run", *arguments)
    assert (ran.status, ran.out, ran.err) == (2, "", f"worker: {sentence}\n")


def test_a_scenario_of_several_domains_needs_the_domains_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "more_books.py").write_text(
        "from dataclasses import replace\nfrom handlers.library import domain as library\n"
        "domain = replace(library, name='more')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/events")
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain,more_books:domain")
    ran = run(capsys, monkeypatch, "load", "run", "hot-book")
    assert ran.err == "worker: hot-book is a scenario of several domains (library, more); choose one with --domain.\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot be read: No such file or directory."),
        ("[]", "is not what `worker load run --json` writes: Input should be an object."),
        ('{"domain": "library"}', "is not what `worker load run --json` writes: scenario: Field required."),
    ],
)
def test_files_that_cannot_be_compared_are_reported(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str | None,
    reason: str,
) -> None:
    file = tmp_path / "a.json"
    if text is not None:
        file.write_text(text)
    ran = run(capsys, monkeypatch, "load", "compare", str(file), str(file))
    assert (ran.status, ran.out, ran.err) == (2, "", f"worker: {file} {reason}\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("publish", "PlaceOrder", "{}"), "there is no command 'PlaceOrder'; known are "),
        (("publish", "PlaceOrder", "{}", "--domain", "orders"), "there is no domain 'orders' in WORKER_DOMAINS; "),
        (("view", "shelf", "tea"), "there is no view 'shelf'; known are "),
        (("view", "shelf", "tea", "--domain", "orders"), "there is no domain 'orders' in WORKER_DOMAINS; "),
        (("load", "run", "rush"), "there is no scenario 'rush'; known are "),
        (("load", "run", "rush", "--domain", "orders"), "there is no domain 'orders' in WORKER_DOMAINS; "),
    ],
)
def test_missing_domains_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    """For example in a second terminal without the variable."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://worker:secret@127.0.0.1:9/events")
    ran = run(capsys, monkeypatch, *arguments)
    assert (ran.status, ran.err[: len(sentence) + 8]) == (2, f"worker: {sentence}")
    monkeypatch.delenv("WORKER_DOMAINS")
    ran = run(capsys, monkeypatch, *arguments)
    assert (ran.status, ran.err.partition(";")[0]) == (2, "worker: WORKER_DOMAINS is not set")
