"""``worker config`` prints every setting, and no secret."""

import json
import sys

import pytest

from worker.cli.main import main
from worker.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:secret@db:5432/events")
    monkeypatch.setenv("DATABASE_REPLICA_URLS", "postgresql://app:secret@one/events,postgresql://app:secret@two/events")
    monkeypatch.setenv("AMQP_URL", "amqp://app:secret@mq/work")
    monkeypatch.setenv("WORKER_CONCURRENCY", "8")
    monkeypatch.setattr(sys, "path", sys.path.copy())


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["worker", "config", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "secret" not in out
    return out


def test_json_has_every_setting_with_unit_origin_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {row["name"]: row for row in json.loads(printed(capsys, monkeypatch, "--json"))}
    assert rows.keys() == {name.upper() for name in Settings.described()}
    assert all(row["meaning"] for row in rows.values())
    assert rows["DATABASE_URL"]["value"] == "postgresql://app:***@db:5432/events"
    assert rows["DATABASE_REPLICA_URLS"]["value"] == "postgresql://app:***@one/events,postgresql://app:***@two/events"
    assert rows["AMQP_URL"]["value"] == "amqp://app:***@mq/work"
    assert {key: rows["WORKER_CONCURRENCY"][key] for key in ("value", "unit", "origin")} == {
        "value": 8,
        "unit": "commands",
        "origin": "environment",
    }
    assert (rows["WORKER_MAX_AGE"]["unit"], rows["WORKER_MAX_AGE"]["origin"]) == ("seconds", "default")


def test_the_text_output_is_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    table = printed(capsys, monkeypatch)
    assert table.split("\n", 1)[0].split() == ["setting", "value", "unit", "origin", "meaning"]
    for name in Settings.described():
        assert name.upper() in table
    # Settings of every kind look the same when unset.
    assert "None" not in table


def test_an_address_in_place_of_a_path_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``printed`` asserts that no secret is shown. A domain that cannot be imported does not prevent the output."""
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain")
    monkeypatch.setenv("DATABASE_URL_OTHER_FILE", "postgresql://app:secret@db:5432/events")
    rows = {row["name"]: row for row in json.loads(printed(capsys, monkeypatch, "--json"))}
    assert rows["DATABASE_URL_OTHER"]["origin"] == "file postgresql://app:***@db:5432/events"
    monkeypatch.delenv("DATABASE_URL_OTHER_FILE")
    monkeypatch.setenv("WORKER_DOMAINS", "nowhere.at.all:domain")
    monkeypatch.setenv("DATABASE_URL_OTHER", "postgresql://app:secret@db:5432/events")
    rows = {row["name"]: row for row in json.loads(printed(capsys, monkeypatch, "--json"))}
    assert rows["DATABASE_URL_OTHER"]["value"] == "postgresql://app:***@db:5432/events"
