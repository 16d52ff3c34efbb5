import pytest

from worker.counters import Counters
from worker.shard_keys import ShardKeys
from worker.topology import Topology

SHARDED = Topology("tally", 8)


def test_keys_of_one_shard_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    keys = ShardKeys(SHARDED, counters)
    for _ in range(2):
        keys.check("a", 3)
        keys.check("b", 3)
        keys.check("c", 0)
    assert (counters.misplaced, caplog.messages) == (0, [])


def test_a_key_from_another_shard_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    keys = ShardKeys(SHARDED, counters)
    for shard in (3, 5, 5, 3):
        keys.check("a", shard)
    assert counters.misplaced == 2
    (told,) = caplog.messages
    assert told == (
        "commands of one affinity key come by tally.commands.3 and by tally.commands.5: only the shards may be bound "
        "to commands.tally, each once, and no command may be published to a shard itself; see docs/messages.md"
    )


def test_a_limited_number_of_keys_is_remembered() -> None:
    counters = Counters()
    keys = ShardKeys(SHARDED, counters, most=2)
    for key in ("a", "b", "c"):
        keys.check(key, 1)
    keys.check("a", 2)  # no longer remembered
    assert counters.misplaced == 0
    keys.check("c", 2)
    assert counters.misplaced == 1
