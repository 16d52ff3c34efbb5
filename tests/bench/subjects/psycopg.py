"""Ours with another driver: psycopg 3."""

from functools import partial

from tests.bench.subject import Contender
from tests.bench.subjects.ours import Ours, load
from tests.bench.subjects.postgres import serve

__all__ = ["contender"]

contender = Contender(
    serve=serve,
    load=partial(load, histories=False),
    open=partial(Ours.open, driver="psycopg"),
    figures=frozenset(
        {"query_1", "append_1", "append_5", "typical_1", "typical_128", "append_conditional_peak", "append_100_4"}
    ),
)
