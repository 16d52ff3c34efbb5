"""The checks of a database's condition whose cases would need separate servers."""

from dataclasses import replace

import pytest

from eventstore.postgres import MOST_LAG, SCHEMA_VERSION, Survey
from eventstore.postgres.administration.wholeness import Wholeness
from worker.cli.condition import primary_condition, replica_condition
from worker.settings import Settings

POOL_SIZE = Settings(worker_concurrency=64).pool_size
WELL = Survey(
    schema="eventstore",
    schema_version=SCHEMA_VERSION,
    unfinished=False,
    head=50_000,
    in_recovery=False,
    role="worker",
    isolation="read committed",
    durability="on",
    connections=97,
    may_work=True,
    may_change=False,
    missing_indexes=(),
    without_pending_list=True,
    guarded=True,
    partition_size=None,
    partitions=0,
    last_number=None,
    bound=None,
    archives=0,
    archive_places=(),
    pooled=False,
    wholeness=Wholeness(first=1, last=50_000, archived=0, kept_head=None, looked_at=900, strays=0),
    collation=None,
    idle_slots=(),
    prepared=(),
    feedback=True,
)
REPLICA = replace(WELL, in_recovery=True)


def wrong(found: Survey) -> dict[str, str]:
    return {finding.part: finding.text for finding in primary_condition(found, POOL_SIZE) if not finding.good}


def test_a_healthy_database_has_no_complaint() -> None:
    assert wrong(WELL) == {}
    assert wrong(replace(WELL, schema_version=SCHEMA_VERSION + 1, durability="remote_apply")) == {}


def test_a_pending_second_migration_step_is_healthy_and_reported() -> None:
    (schema, *_) = primary_condition(replace(WELL, unfinished=True), POOL_SIZE)
    assert schema.good
    assert schema.text.endswith("when none runs any more, run `worker db migrate --finish`")


def test_connections_are_reported_in_worker_processes() -> None:
    (text,) = [each.text for each in primary_condition(WELL, POOL_SIZE) if each.part == "connections"]
    assert text == "97, enough for 9 worker processes of 10 each"
    assert wrong(replace(WELL, connections=10)) == {}
    assert "raise max_connections, or lower WORKER_CONCURRENCY" in wrong(replace(WELL, connections=9))["connections"]


def test_indexes_with_an_outdated_collation_are_named() -> None:
    assert wrong(replace(WELL, collation="sorted anew: REINDEX")) == {"indexes": "sorted anew: REINDEX."}


def test_a_bound_that_an_interrupted_partitioning_left_is_named() -> None:
    assert wrong(replace(WELL, bound=60_000)) == {
        "partitions": "the log ends at 60,000 until `worker db migrate --partition-size` has finished, with room for "
        "10,000 further events: if it was interrupted, run it again."
    }
    assert "with room for 0 further events" in wrong(replace(WELL, bound=49_999))["partitions"]


def test_blockers_of_vacuum_are_named() -> None:
    slots = wrong(replace(WELL, idle_slots=(("gone", 5_000_000),)))["retention"]
    assert slots.startswith("no reader uses gone (5,000,000 bytes)")
    assert "left over" in wrong(replace(WELL, prepared=("left over",)))["retention"]


def test_a_replica_whose_reads_block_replay_is_named() -> None:
    finding = replica_condition(replace(REPLICA, feedback=False), 50_000)
    assert not finding.good
    assert finding.text.startswith("hot_standby_feedback is off")


def test_a_pooler_is_named() -> None:
    assert "let DATABASE_URL name PostgreSQL itself" in wrong(replace(WELL, pooled=True))["pooler"]


@pytest.mark.parametrize(
    ("found", "head", "text"),
    [
        (REPLICA, 50_000, "answers reads, 0 events behind"),
        (REPLICA, 50_000 + MOST_LAG, "answers reads, 10,000 events behind"),
        (replace(REPLICA, head=60_000), 50_000, "answers reads, 0 events behind"),  # the replica was asked later
        (REPLICA, None, "answers; its lag is unknown without the primary"),
    ],
)
def test_a_replica_with_little_lag_is_healthy(found: Survey, head: int | None, text: str) -> None:
    finding = replica_condition(found, head)
    assert (finding.good, finding.text) == (True, text)


@pytest.mark.parametrize(
    ("found", "head", "text"),
    [
        (
            REPLICA,
            50_001 + MOST_LAG,
            "10,001 events behind: no read goes there until it is within 10,000; check whether",
        ),
        (replace(REPLICA, in_recovery=False), 50_000, "it accepts writes, so it is not a replica; correct"),
        (replace(REPLICA, may_work=False), 50_000, "it answers, but the role worker may not read there; correct"),
    ],
)
def test_a_misconfigured_replica_is_named(found: Survey, head: int, text: str) -> None:
    finding = replica_condition(found, head)
    assert not finding.good
    assert finding.text.startswith(text)
