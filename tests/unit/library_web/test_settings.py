from typing import Any

import pytest

from examples.library_web.library_web.settings import SettingMissing, Settings

NEEDED = {"DATABASE_URL": "postgresql://db/library", "AMQP_URL": "amqp://mq/"}


def test_the_variables_of_the_worker_are_read() -> None:
    assert Settings.load(NEEDED | {"DATABASE_REPLICA_URLS": "postgresql://a/l, postgresql://b/l"}) == Settings(
        database_url="postgresql://db/library",
        amqp_url="amqp://mq/",
        replica_urls=("postgresql://a/l", "postgresql://b/l"),
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "set DATABASE_URL and AMQP_URL"),
        ({"AMQP_URL": "amqp://mq/"}, "set DATABASE_URL,"),
        (NEEDED | {"LIBRARY_WEB_PORT": "http"}, "LIBRARY_WEB_PORT is a port's number, not 'http'"),
    ],
)
def test_missing_or_invalid_settings_are_reported(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingMissing, match=told):
        Settings.load(given)
