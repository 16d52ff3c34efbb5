import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.two_stores import TwoStores
from tests.support import generated
from tests.support.fixtures.databases import Database


@pytest.mark.parametrize("tail_limit", [4096, 2], ids=["near the head", "far behind the head"])
@pytest.mark.timeout(600)  # a failure is made small before it is shown, which takes minutes
def test_postgres_answers_as_memory_does(database: Database, monkeypatch: pytest.MonkeyPatch, tail_limit: int) -> None:
    # Beyond this many events a position is judged, and a tail is read, in another way: with a small number, soon.
    monkeypatch.setattr("eventstore.postgres.appends.batch._TAIL_LIMIT", tail_limit)
    monkeypatch.setattr("eventstore.postgres.reads.server.LONGEST_TAIL", tail_limit)
    if tail_limit < generated.MOST_EVENTS:  # and a history longer than this is read by the indexes
        monkeypatch.setattr("eventstore.postgres.reads.history.WIDEST", 1)

    class OnItsDatabase(TwoStores):
        def __init__(self) -> None:
            super().__init__(database, chains=tail_limit > generated.MOST_EVENTS)

    run_state_machine_as_test(
        OnItsDatabase,
        settings=settings(
            max_examples=40,
            stateful_step_count=15,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
