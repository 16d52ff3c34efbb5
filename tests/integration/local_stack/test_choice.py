"""Which servers are used."""

from pathlib import Path

import pytest

from deploy.local.binaries import rabbitmq_server
from deploy.local.errors import StackError
from deploy.local.servers import servers

_NAMED = {
    "DATABASE_URL": "postgresql://worker:w@db.example/app",
    "DATABASE_ADMIN_URL": "postgresql://admin:a@db.example/app",
    "AMQP_URL": "amqps://worker:w%40x@mq.example:5671/shop",
}


def test_servers_named_by_variables_are_used_and_none_is_started() -> None:
    with servers(_NAMED | {"DATABASE_REPLICA_URLS": "postgresql://worker:w@replica.example/app"}) as found:
        assert found.environment().items() > _NAMED.items()
        assert found.environment()["DATABASE_REPLICA_URLS"] == "postgresql://worker:w@replica.example/app"
        assert not found.throwaway


def test_the_management_interface_is_looked_for_beside_the_broker() -> None:
    with servers(_NAMED) as found:
        assert found.environment()["RABBITMQ_MANAGEMENT_URL"] == "http://worker:w%40x@mq.example:15672"
    named = "https://ops:o@mq.example/management"
    with servers(_NAMED | {"RABBITMQ_MANAGEMENT_URL": named}) as found:
        assert found.environment()["RABBITMQ_MANAGEMENT_URL"] == named


@pytest.mark.parametrize("missing", sorted(_NAMED))
def test_half_of_the_variables_is_a_mistake_that_names_the_other_half(missing: str) -> None:
    named = {name: value for name, value in _NAMED.items() if name != missing}
    with pytest.raises(StackError, match=f"but {missing} is not set: set all of"), servers(named):
        pass


def test_a_broker_of_another_version_is_used_beside_databases_of_the_stack() -> None:
    named = {"AMQP_URL": _NAMED["AMQP_URL"], "RABBITMQ_MANAGEMENT_URL": "https://ops:o@mq.example"}
    with servers(named) as found:
        addresses = found.environment()
        assert addresses.items() > named.items()
        assert set(addresses) == {*named, "DATABASE_URL", "DATABASE_ADMIN_URL", "DATABASE_REPLICA_URLS"}
        # It is not ours: what tests make there is taken away by them.
        assert not found.throwaway


def test_a_stack_runs_the_broker_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "rabbitmq-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("RABBITMQ_SERVER", str(program))
    assert rabbitmq_server() == program
    program.chmod(0o644)
    with pytest.raises(StackError, match=r"RABBITMQ_SERVER: \S+ is no program; name a rabbitmq-server of version 3.10"):
        rabbitmq_server()


def test_a_variable_that_is_empty_is_not_set() -> None:
    with pytest.raises(StackError, match="but AMQP_URL is not set"), servers(_NAMED | {"AMQP_URL": ""}):
        pass
