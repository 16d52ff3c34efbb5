"""What the spans and metrics of the store's operations say: which server answered, and what was broken off."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from eventstore import Consistency, Receipt, TransientStoreError
from eventstore.postgres import PostgresEventStore
from eventstore.telemetry import Telemetry
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted
from tests.integration.eventstore.staging import Connection, connected, head_locked, waiting
from tests.support.fixtures.databases import Database

Recorded = list[Mapping[str, str]]


class Histogram:
    """Notes the labels of what is recorded."""

    def __init__(self) -> None:
        self.labels: Recorded = []

    def record(self, _amount: float, labels: Mapping[str, str]) -> None:
        self.labels.append(labels)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans of every store that is opened in the test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    describe = Telemetry.for_database

    def described(url: str, schema: str) -> Telemetry:
        return Telemetry(tracer=provider.get_tracer("test"), database=describe(url, schema).database)

    monkeypatch.setattr(Telemetry, "for_database", described)
    return exporter


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The labels of the durations that are recorded."""
    histogram = Histogram()
    for name in ("query_duration", "append_duration"):
        monkeypatch.setattr(f"eventstore.operations.{name}", histogram)
    return histogram.labels


def last(spans: InMemorySpanExporter) -> ReadableSpan:
    return spans.get_finished_spans()[-1]


def server(span: ReadableSpan) -> tuple[object, object]:
    assert span.attributes is not None
    return span.attributes.get("server.address"), span.attributes.get("server.port")


async def test_a_query_names_the_server_that_answered(replicated: Replicated, spans: InMemorySpanExporter) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        await store.append([counted("a")])
        await replicated.follow()
        primary = urlsplit(replicated.url)
        seen = set()
        for consistency in (Consistency.STRONG, Consistency.EVENTUAL, Consistency.EVENTUAL):
            stream = await store.query(ANY, consistency=consistency)
            assert stream.server is not None
            assert server(last(spans)) == (stream.server.host, stream.server.port)
            assert stream.replica is ((stream.server.host, stream.server.port) != (primary.hostname, primary.port))
            seen.add(stream.replica)
        async with store.exclusive(limit=10.0) as held:
            (stream,) = await held.query_many([ANY])
        assert server(last(spans)) == (primary.hostname, primary.port)
    assert seen == {True, False}


@pytest.mark.usefixtures("spans")
async def test_an_address_of_several_hosts_names_no_server(database: Database) -> None:
    parts = urlsplit(database.url)
    login, _, host = parts.netloc.rpartition("@")
    async with PostgresEventStore.connect(parts._replace(netloc=f"{login}@{host},{host}").geturl()) as store:
        assert (await store.query(ANY)).server is None


async def test_an_append_that_is_cancelled_says_so(
    database: Database, admin: Connection, spans: InMemorySpanExporter, durations: Recorded
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with head_locked(database.admin_url):
            append = asyncio.create_task(store.append([counted("a")]))
            await waiting(admin, 1)
            append.cancel()
            with pytest.raises(asyncio.CancelledError):
                await append
        span = last(spans)
        assert span.attributes is not None
        assert (span.name, span.attributes["error.type"]) == ("append events", "cancelled")
        assert span.status.status_code is StatusCode.ERROR
        assert durations == [{"event_count": "1", "error.type": "cancelled"}]
        assert isinstance(await store.append([counted("b")]), Receipt)
        assert durations[1:] == [{"event_count": "1"}]


async def test_a_query_that_takes_too_long_says_so(
    database: Database, spans: InMemorySpanExporter, durations: Recorded
) -> None:
    async with PostgresEventStore.connect(database.url, read_seconds=0.5) as store:
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TransientStoreError, match="took too long"):
                await store.query(ANY)
        span = last(spans)
        assert span.attributes is not None
        assert (span.name, span.attributes["error.type"]) == ("query events", "timeout")
        assert durations == [{"filter_type": "any", "error.type": "timeout"}]


async def test_durations_tell_apart_the_stores_of_one_database(
    database: Database, partitioned_database: Database, durations: Recorded
) -> None:
    for each in (database, partitioned_database):
        async with PostgresEventStore.connect(each.url, schema=each.schema) as store:
            await store.append([counted("a")])
            await store.query(ANY)
    schema = {"schema": partitioned_database.schema}
    assert durations == [
        {"event_count": "1"},
        {"filter_type": "any"},
        {"event_count": "1", **schema},
        {"filter_type": "any", **schema},
    ]
