"""Commands that trouble the process that decides them, with affinity."""

from dataclasses import replace

from tests.integration.worker.troubles import domain as troubles

domain = replace(troubles, affinity=lambda command: command.key, shards=8)
