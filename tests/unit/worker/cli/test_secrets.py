"""No command shows a password, neither of unreachable servers nor of invalid addresses."""

import sys

import pytest

from worker.cli.main import main
from worker.settings import IN_FILES

# Each part of the secret is recognized, however the rest was parsed.
PARTS = ("Hunter", "Tr0ub4dor", "Correct", "TWFzdGVy")
MASTER_KEY = "TWFzdGVyIGtleSBvZiAzMiBieXRlcywgYSBzZWNyZXQ="
FORMS = {
    "unreachable": "Hunter%2FTr0ub4dor%40Correct@127.0.0.1:9/work",
    "port": "Hunter%2FTr0ub4dor%40Correct@127.0.0.1:70000/work",
    "word as port": "Hunter%2FTr0ub4dor%40Correct@127.0.0.1:seven/work",
    "slash": "Hunter/Tr0ub4dor/Correct@127.0.0.1:9/work",
    "number and slash": "77/HunterTr0ub4dorCorrect@127.0.0.1:9/work",
    "hash": "Hunter#Tr0ub4dor#Correct@127.0.0.1:9/work",
    "question mark": "Hunter?Tr0ub4dor?Correct@127.0.0.1:9/work",
    "at": "Hunter@Tr0ub4dor@Correct@127.0.0.1:9/work",
    "colon": "Hunter:Tr0ub4dor:Correct@127.0.0.1:9/work",
    "percent": "Hunter%Tr0ub4dor%zzCorrect@127.0.0.1:9/work",
    "bracket": "Hunter[Tr0ub4dor]Correct@127.0.0.1:9/work",
    "not a host": "Hunter\u2100Tr0ub4dor\u2100Correct@127.0.0.1:9/work",
    "no host": "HunterTr0ub4dorCorrect@/work",
    "line feed": "Hunter\nTr0ub4dor\nCorrect@127.0.0.1:9/work",
    "parameters": "x@127.0.0.1:9/work?password=Hunter&sslpassword=Tr0ub4dorCorrect&sslmode=Correct",
}
DATABASE_COMMANDS = (
    ("run",),
    ("status", "0f3fd1a5-6d3b-4f9a-9c36-8f0a3a6f1f11"),
    ("db", "check"),
    ("db", "migrate"),
    ("db", "prune", "--older-than", "90d", "--yes"),
    ("db", "states", "list"),
    ("db", "states", "drop", "--all", "--yes"),
)
BROKER_COMMANDS = (("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}'), ("check",))
# Valid addresses of a broker are tried for seconds: only a few of them are used.
TRIED = {"at", "percent", "colon", "no host", "line feed", "parameters"}
CASES = [(arguments, form) for arguments in DATABASE_COMMANDS for form in FORMS] + [
    (arguments, form) for arguments in BROKER_COMMANDS for form in FORMS if form not in TRIED
]


def ran(
    arguments: tuple[str, ...], form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[object, str]:
    """The exit status and all output; an unexpected exception is raised."""
    monkeypatch.setenv("WORKER_MASTER_KEYS", MASTER_KEY)
    for name in set(IN_FILES) - {"worker_master_keys", "database_schema"}:
        scheme = {"amqp": "amqp", "rabbitmq": "http"}.get(name.partition("_")[0], "postgresql")
        monkeypatch.setenv(name.upper(), f"{scheme}://worker:{FORMS[form]}")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "argv", ["worker", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    printed = "".join(capsys.readouterr())
    assert not [part for part in (*PARTS, "Traceback") if part in printed], printed
    return raised.value.code, printed


@pytest.mark.parametrize(("arguments", "form"), CASES, ids=lambda value: value if isinstance(value, str) else value[0])
def test_no_password_is_shown_for_an_unreachable_address(
    arguments: tuple[str, ...], form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, printed = ran(arguments, form, capsys, monkeypatch)
    assert status == 2
    assert printed.strip()


@pytest.mark.parametrize("form", ["unreachable", "colon"])
def test_the_settings_are_shown_without_passwords(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, printed = ran(("config", "--json"), form, capsys, monkeypatch)
    assert status == 0
    assert "worker:***@127.0.0.1:9" in printed
