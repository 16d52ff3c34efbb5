"""``python -m deploy.local up | down | status``: the local stack in the background."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from deploy.local import background
from deploy.local.errors import StackError
from deploy.local.packages.unpacked import Unpacked
from deploy.local.stack_folder import StackFolder

_NAMES = {
    "DATABASE_URL": "PostgreSQL primary",
    "DATABASE_REPLICA_URLS": "PostgreSQL replica",
    "DATABASE_ADMIN_URL": "PostgreSQL primary, as administrator",
    "AMQP_URL": "RabbitMQ",
    "RABBITMQ_MANAGEMENT_URL": "RabbitMQ management",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "where traces and metrics are sent",
    "WORKER_TRACE_URL": "Jaeger, to look at traces",
    "WORKER_METRICS_URL": "Prometheus, to look at metrics",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 for done; 1 when ``status`` finds no stack; 2 for a mistake, told in one sentence.
    """
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local", description="PostgreSQL and RabbitMQ on this machine."
    )
    parser.add_argument("--folder", type=Path, help="the folder with the stack's addresses (default: .stack)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the stack in the background and print its addresses")
    commands.add_parser("down", help="stop it and remove its files")
    commands.add_parser("status", help="say whether it runs, and print its addresses")
    options = parser.parse_args(arguments)
    try:
        folder = StackFolder(options.folder.resolve()) if options.folder else StackFolder()
        status = {"up": _up, "down": _down, "status": _status}[options.command](folder)
        sys.stdout.flush()
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it. Python would complain when it flushes the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _up(folder: StackFolder) -> int:
    if folder.is_locked():
        print("The local stack runs already; stop it with 'make down'.")
        return _show(folder, folder.addresses())
    print("Starting PostgreSQL and RabbitMQ ...", flush=True)
    addresses, notes = background.up(folder)
    status = _show(folder, addresses)
    if "WORKER_TRACE_URL" not in addresses and not notes:
        notes = ["For traces, have a Jaeger on the PATH: docs/telemetry.md says how to get one."]
    for note in notes:
        print(note)
    return status


def _down(folder: StackFolder) -> int:
    print("The local stack is stopped." if background.down(folder) else "No local stack runs here.")
    # What was fetched is the clone's, and so is the stack that is recorded where all look for it.
    if folder.is_default and (unpacked := Unpacked()).folder.exists():
        gone = unpacked.remove()
        print(f"What was fetched into {unpacked.folder.name} {'is removed' if gone else 'stays: it is in use'}.")
    return 0


def _status(folder: StackFolder) -> int:
    if not folder.is_locked():
        print("No local stack runs here; start one with 'make up'.")
        return 1
    return _show(folder, folder.addresses())


def _show(folder: StackFolder, addresses: Mapping[str, str]) -> int:
    if not addresses:
        print("It is still starting; ask again in a few seconds.")
        return 0
    listening = background.answers(addresses)
    table = Table("server", "address", "state")
    for name, value in addresses.items():
        for url in filter(lambda part: "://" in part, value.split(",")):
            place = urlsplit(url).netloc.rpartition("@")[2]
            table.add_row(_NAMES.get(name, name), place, "answers" if listening.get(place) else "does not answer")
    Console(soft_wrap=True).print(table)
    print(folder.variables.read_text(encoding="utf-8"), end="")
    print(f"\nFor your shell: source {folder.variables}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
