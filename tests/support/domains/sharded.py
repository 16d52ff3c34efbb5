"""The tally domain with affinity: commands of one key are decided by one process at a time."""

from dataclasses import replace

from tests.support.domains.tally import AnyCommand
from tests.support.domains.tally import domain as tally


def key_of(command: AnyCommand) -> str:
    return command.key


domain = replace(tally, affinity=key_of, shards=8)
fewer = replace(domain, shards=4)
more = replace(domain, shards=16)
plain = tally
