"""Addresses with passwords: read from files, and shown without passwords."""

from pathlib import Path

import pytest

from worker.credentials import Unreadable, from_files, redacted
from worker.errors import SettingsError
from worker.settings import IN_FILES, Settings

DATABASE = "postgresql://app:secret@db:5432/events"
BROKER = "amqp://app:secret@mq:5672/work"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of two addresses, as written by an editor or a cluster."""
    (tmp_path / "database").write_text(f"{DATABASE}\n")
    (tmp_path / "broker").write_text(BROKER)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "database"))
    monkeypatch.setenv("AMQP_URL_FILE", str(tmp_path / "broker"))
    return tmp_path


def test_a_file_replaces_a_variable(folder: Path) -> None:
    settings = Settings.load()
    assert (settings.database_url, settings.amqp_url) == (DATABASE, BROKER)
    assert settings.origin("database_url") == f"file {folder}/database"
    assert settings.origin("worker_domains") == "default"


def test_a_file_of_replicas_may_have_a_line_for_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "replicas").write_text(f"{DATABASE}1\n{DATABASE}2, {DATABASE}3\n")
    monkeypatch.setenv("DATABASE_REPLICA_URLS_FILE", str(folder / "replicas"))
    assert Settings.load().database_replica_urls == (f"{DATABASE}1", f"{DATABASE}2", f"{DATABASE}3")


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_of_replicas_names_none(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (folder / "replicas").write_text(content)
    monkeypatch.setenv("DATABASE_REPLICA_URLS_FILE", str(folder / "replicas"))
    settings = Settings.load()
    assert settings.database_replica_urls == ()
    assert settings.origin("database_replica_urls") == f"file {folder}/replicas"
    # The other addresses are required, so an empty file is an error.
    for name in ("database", "broker"):
        (folder / name).write_text(content)
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    assert str(raised.value).splitlines() == [
        f"DATABASE_URL_FILE: {folder}/database is empty; write its value into it.",
        f"AMQP_URL_FILE: {folder}/broker is empty; write its value into it.",
    ]


@pytest.mark.usefixtures("folder")
def test_a_file_and_a_variable_for_one_setting_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", BROKER)
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    assert str(raised.value) == "AMQP_URL and AMQP_URL_FILE are both set: unset one of them."
    monkeypatch.setenv("AMQP_URL", "")  # as Compose passes on an unset variable
    assert Settings.load().amqp_url == BROKER


def test_all_unusable_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"secret\xff")
    environment = {
        "DATABASE_URL_FILE": f"{tmp_path}/missing",
        "DATABASE_REPLICA_URLS_FILE": f"{tmp_path}/empty",
        "DATABASE_ADMIN_URL_FILE": f"{tmp_path}/bytes",
        "AMQP_URL_FILE": str(tmp_path),
    }
    with pytest.raises(Unreadable) as raised:
        from_files(environment, IN_FILES)
    assert str(raised.value).splitlines() == [
        f"DATABASE_URL_FILE: {tmp_path}/missing cannot be read: No such file or directory.",
        f"DATABASE_REPLICA_URLS_FILE: {tmp_path}/empty is empty; write its value into it.",
        f"DATABASE_ADMIN_URL_FILE: {tmp_path}/bytes is not UTF-8 text; write its value into it, and nothing else.",
        f"AMQP_URL_FILE: {tmp_path} cannot be read: Is a directory.",
    ]


def test_a_files_content_is_validated_like_a_variable(folder: Path) -> None:
    (folder / "broker").write_text("http://app:secret@mq/")
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    assert str(raised.value) == "AMQP_URL: it must have the form amqp://user:password@host:5672/vhost."


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (DATABASE, "postgresql://app:***@db:5432/events"),
        ("postgresql://app@db/events", "postgresql://app@db/events"),
        ("postgresql://db/events", "postgresql://db/events"),
        (
            "postgresql://app:secret@a:1,b:2/events?sslmode=require",
            "postgresql://app:***@a:1,b:2/events?sslmode=require",
        ),
        ("postgresql://app:se@cr:et@db/events", "postgresql://app:***@db/events"),
        ("postgresql://app:se/cr?e#t@db/events", "postgresql://app:***@db/events"),
        ("amqp://:secret@mq/", "amqp://:***@mq/"),
        ("postgresql://db/e?user=app&password=secret&a=b", "postgresql://db/e?user=app&password=***&a=b"),
        ("postgresql://db/e?sslpassword=secret", "postgresql://db/e?sslpassword=***"),
        ("", ""),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert redacted(url) == shown
