from pathlib import Path

import pytest

from eventstore import LONGEST_CHAIN
from handlers.decider import MOST_PARTS
from worker.errors import SettingsError
from worker.settings import Settings

DATABASE = "postgresql://app:secret@db:5432/events"
BROKER = "amqp://app:secret@mq:5672/work"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)


def test_addresses_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("AMQP_URL", BROKER)
    monkeypatch.setenv("DATABASE_REPLICA_URLS", f"{DATABASE}1, {DATABASE}2,")
    settings = Settings.load()
    assert settings.database_replica_urls == (f"{DATABASE}1", f"{DATABASE}2")
    # No example domain is served by default.
    assert settings.worker_domains == ""
    assert settings.prefetch == 128


def test_a_round_may_be_as_large_as_a_chain() -> None:
    assert Settings(worker_concurrency=LONGEST_CHAIN).worker_concurrency == LONGEST_CHAIN
    with pytest.raises(SettingsError):
        Settings(worker_concurrency=LONGEST_CHAIN + 1)


def test_missing_settings_are_named_with_examples() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    first, second = str(raised.value).splitlines()
    assert first.startswith("DATABASE_URL is not set; give it the form postgresql://")
    assert second.startswith("AMQP_URL is not set; give it the form amqp://")


def test_a_setting_that_only_a_local_file_has_is_reported_with_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"# AMQP_URL\nexport DATABASE_URL={DATABASE}\nAMQP_URL={BROKER}\n")
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    first, second = str(raised.value).splitlines()
    assert first == "DATABASE_URL is not set, and the file .env of this folder exports it: source .env."
    assert second.startswith("AMQP_URL is not set; give it the form amqp://")


def test_a_misspelt_variable_is_named_and_others_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DATABASE_URI", "AMQP_URI", "WORKER_SERVICE_HOST", "WORKER_IMAGE", "DATABASE_PORT", "AMQP_URL_FILE"):
        monkeypatch.setenv(name, "")
    for name in ("_DATABASE_URL", "RABBITMQ_MANAGEMENT_PORT", "RELAY", "PROJECT", "PWD", "PATH"):
        monkeypatch.setenv(name, "")
    Settings.load(needs=())
    for name in ("WORKER_CONCURENCY", "WORKER_DOMAIN", "DATABASE_REPLICA_URL", "DATABSE_URL", "AMPQ_URL"):
        monkeypatch.setenv(name, "1")
    for name in ("PROJECTION_URL", "WROKER_DOMAINS"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as raised:
        Settings.load(needs=())
    assert str(raised.value).splitlines() == [
        "AMPQ_URL is no setting (did you mean AMQP_URL?); correct it, or unset it.",
        "DATABASE_REPLICA_URL is no setting (did you mean DATABASE_REPLICA_URLS?); correct it, or unset it.",
        "DATABSE_URL is no setting (did you mean DATABASE_URL?); correct it, or unset it.",
        "PROJECTION_URL is no setting (did you mean PROJECTIONS_URL?); correct it, or unset it.",
        "WORKER_CONCURENCY is no setting (did you mean WORKER_CONCURRENCY?); correct it, or unset it.",
        "WORKER_DOMAIN is no setting (did you mean WORKER_DOMAINS?); correct it, or unset it.",
        "WROKER_DOMAINS is no setting (did you mean WORKER_DOMAINS?); correct it, or unset it.",
    ]


def test_settings_that_are_not_needed_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", BROKER)
    assert Settings.load(needs=("amqp_url",)).database_url == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://db/events"),
        ("DATABASE_REPLICA_URLS", f"{DATABASE},db:5432"),
        ("DATABASE_REPLICA_URLS", "postgresql://app:secret,word@db/events"),
        ("DATABASE_URL", "postgresql://app:secret@word@db/events"),
        ("DATABASE_URL", "postgresql://app:[secret]@db/events"),
        ("DATABASE_URL", "postgresql://app:1#secret@db/events"),
        ("AMQP_URL", "amqp://app:secret\\word@mq/work"),
        ("AMQP_URL", "amqp://app:[secret]@mq/work"),
        ("AMQP_URL", "amqp://app:secret@word@mq/work"),
        ("AMQP_URL", "http://mq"),
        ("AMQP_URL", "amqp://app:secret@mq:port/work"),
        ("AMQP_URL", "amqp://app:secret@mq:99999/work"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "many"),
        ("WORKER_RETRY_DELAY", "61"),
        ("WORKER_HANDLER_TIMEOUT", "601"),
        ("WORKER_MAX_AGE", "31536001"),
        ("WORKER_MAX_AGE", "1e15"),
        ("WORKER_HEALTH_PORT", "65536"),
        ("WORKER_TRACE_PARENT", "sibling"),
    ],
)
def test_each_invalid_value_is_one_sentence_without_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Settings.load(needs=())
    sentence = str(raised.value)
    assert sentence.startswith(f"{name}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_infinite_and_nan_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    floats = [name.upper() for name, field in Settings.described().items() if field.kind is float]
    assert "WORKER_MAX_AGE" in floats
    for name in floats:
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Settings.load(needs=())
    assert str(raised.value).splitlines() == [f"{name}: it must be a finite number." for name in floats]


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("DATABASE_DRIVER", "asyncpg, psycopg, sqlalchemy"),
        ("WORKER_TRACE_PARENT", "parent, link"),
        ("WORKER_LOG_FORMAT", "auto, json, human"),
        ("WORKER_LOG_LEVEL", "debug, info, warning, error"),
        ("WORKER_REPORT_KEYS", "hashed, plain"),
    ],
)
def test_one_of_a_few_values_is_refused_if_it_is_another(
    monkeypatch: pytest.MonkeyPatch, name: str, choices: str
) -> None:
    monkeypatch.setenv(name, "other")
    with pytest.raises(SettingsError) as raised:
        Settings.load(needs=())
    assert str(raised.value) == f"{name}: it must be one of {choices}."


def test_passwords_are_never_shown() -> None:
    settings = Settings(
        database_url=f"{DATABASE}?sslmode=require",
        database_replica_urls=(DATABASE, "postgresql://db/events?password=secret&user=app"),
        amqp_url=BROKER,
    )
    shown = settings.redacted()
    assert shown["DATABASE_URL"] == "postgresql://app:***@db:5432/events?sslmode=require"
    assert shown["AMQP_URL"] == "amqp://app:***@mq:5672/work"
    assert "secret" not in str(shown)
    assert "secret" not in repr(settings)
    assert set(shown) == {name.upper() for name in Settings.described()}


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.described().items() if not field.meaning] == []


@pytest.mark.parametrize("url", ["localhost:16686/trace/{trace_id}", "http://localhost/trace", "ftp://{trace_id}"])
def test_the_address_of_a_traces_page_has_a_placeholder(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("WORKER_TRACE_URL", url)
    with pytest.raises(SettingsError, match=r"^WORKER_TRACE_URL: it must have the form http://localhost:16686/trace/"):
        Settings.load(needs=())


def test_a_worker_and_the_kit_have_one_limit_of_parts() -> None:
    # Defined twice, so that a health probe need not import the code that decides commands.
    assert Settings.described()["worker_most_parts"].default == MOST_PARTS
