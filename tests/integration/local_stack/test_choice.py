"""Which servers are used."""

import os
import sys
from pathlib import Path

import pytest

from deploy.local import binaries, containers
from deploy.local.binaries import epmd, rabbitmq_server
from deploy.local.errors import StackError
from deploy.local.packages.recipe import Recipe
from deploy.local.packages.unpacked import Unpacked
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


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without RabbitMQ, PostgreSQL and Docker, seen by an ordinary user; returns its folder of programs."""
    monkeypatch.delenv("RABBITMQ_SERVER", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(binaries, "_RABBITMQ_SERVER", tmp_path / "rabbitmq-server")
    monkeypatch.setattr(binaries, "_SYSTEM_POSTGRES", tmp_path / "postgresql")
    monkeypatch.setattr(containers, "engine_answers", lambda: False)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def _apt(programs: Path) -> None:
    apt = programs / "apt-get"
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o755)


def test_an_ordinary_user_has_fetched_what_is_not_installed(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt(nothing_installed)
    unpacked = nothing_installed.parent / "unpacked"

    def programs(_: Unpacked, recipe: Recipe) -> Path:
        return unpacked / recipe.package / "bin"

    monkeypatch.setattr(Unpacked, "programs", programs)
    assert rabbitmq_server() == unpacked / "rabbitmq-server" / "bin" / "rabbitmq-server"
    assert binaries.system_postgres_folder() == unpacked / "postgresql"
    # Erlang's port mapper is the one that came with it.
    mapper = rabbitmq_server().with_name("epmd")
    mapper.parent.mkdir(parents=True)
    mapper.touch()
    assert epmd(rabbitmq_server()) == mapper


def test_what_is_installed_comes_before_what_could_be_fetched(nothing_installed: Path) -> None:
    _apt(nothing_installed)
    installed = nothing_installed.parent / "rabbitmq-server"
    installed.touch()
    assert rabbitmq_server() == installed


def test_without_apt_a_user_is_told_what_to_install(nothing_installed: Path) -> None:
    del nothing_installed
    with (
        pytest.raises(StackError, match=r"^RabbitMQ is not installed: install the package rabbitmq-server"),
        servers({}),
    ):
        pass


def test_what_cannot_be_fetched_is_told_with_every_other_way(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt(nothing_installed)

    def programs(_: Unpacked, recipe: Recipe) -> Path:
        raise StackError(f"{recipe.name} cannot be fetched.")

    monkeypatch.setattr(Unpacked, "programs", programs)
    with pytest.raises(StackError) as raised, servers({}):
        pass
    assert str(raised.value) == (
        "RabbitMQ cannot be fetched. Or start a Docker engine, or set DATABASE_URL, DATABASE_ADMIN_URL, AMQP_URL."
    )


def test_elsewhere_than_on_linux_nothing_is_looked_for(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt(nothing_installed)
    monkeypatch.setattr(sys, "platform", "darwin")
    with (
        pytest.raises(StackError, match=r"^The local stack runs on Linux only: .* Or start a Docker engine"),
        servers({}),
    ):
        pass
