"""Under any faults of the store, the worker makes no wrong decision, loses no command and never hangs.

``MODEL_SEEDS=1000:3000`` runs more seeds; ``MODEL_SEEDS=1234`` runs a single failing seed.
"""

import logging
import os

import pytest

from tests.unit.worker.rounds.model import Model
from worker.rounds import circuit_breaker

_asked = os.environ.get("MODEL_SEEDS", "0:8").split(":")
SEEDS = range(int(_asked[0]), int(_asked[1]) if len(_asked) > 1 else int(_asked[0]) + 1)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(circuit_breaker, "_FIRST_DELAY", 0.0005)
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("seed", SEEDS)
async def test_races_cause_no_wrong_decision(seed: int) -> None:
    await Model(seed, faults=False, failovers=False).run(60)


@pytest.mark.parametrize("seed", SEEDS)
async def test_faults_of_the_store_cause_no_wrong_decision(seed: int) -> None:
    await Model(seed, faults=True, failovers=False).run(60)


@pytest.mark.parametrize("seed", SEEDS)
async def test_failovers_that_lose_events_cause_no_wrong_decision(seed: int) -> None:
    await Model(seed, faults=True, failovers=True).run(60)
