"""What the pages of the Python API hold: what to import by task, errors by family, and the modules in their order."""

from typing import NamedTuple

__all__ = ["ERRORS", "HEAD", "PAGES", "TASKS", "Page", "Section", "Task"]


class Task(NamedTuple):
    """What somebody wants to do.

    Attributes:
        want: It.
        imports: The lines that a program for it begins with.
        guide: Where it is explained.
    """

    want: str
    imports: tuple[str, ...]
    guide: str


class Section(NamedTuple):
    """A part of a page: public names of a module, or those that are listed."""

    title: str
    module: str
    names: tuple[str, ...] = ()  # all public ones, if empty


class Page(NamedTuple):
    """A page, and what it is about."""

    file: str
    title: str
    told: str
    sections: tuple[Section, ...]


HEAD = """\
# Python API

What programs import. [By task](#by-task) is where to begin, and leads to the guides; the pages of the modules have
every public name, from its docstring.

## By task
"""

TASKS = (
    Task(
        "write a domain",
        (
            "from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, Unchanged, View",
            "from eventstore import Filter, P",
        ),
        "[Handlers](handlers.md)",
    ),
    Task(
        "test it",
        ("from handlers.testing import accepted, kit, rejected, unchanged",),
        "[Handlers](handlers.md#tests)",
    ),
    Task("publish commands", ("from worker import Publisher, Reply",), "[Messages](messages.md)"),
    Task(
        "ask a view",
        ("from handlers import Reader", "from eventstore.postgres import PostgresEventStore"),
        "[In a web application, in a notebook](programs.md)",
    ),
    Task(
        "fill tables from events",
        ("from handlers import Delete, Insert, Projected, Projection, Statement, Table, Update, Upsert",),
        "[Reading](reading.md)",
    ),
    Task("wait for such a table", ("from worker import ReadModels",), "[Reading](reading.md#read-your-writes)"),
    Task(
        "send commands on account of events; publish events",
        ("from handlers import Reaction, Relay, Send",),
        "[Reacting and relaying](reacting.md)",
    ),
    Task("change an event", ("from handlers import Upcaster",), "[Handlers](handlers.md#events-change)"),
    Task("let a person be forgotten", ("from handlers import MasterKeys, Sensitive",), "[Erasure](erasure.md)"),
    Task(
        "race a domain, and judge its log",
        ("from handlers import Invariant, Scenario, Workload, parameter",),
        "[Handlers](handlers.md#invariants-and-scenarios)",
    ),
    Task(
        "use the store by itself",
        (
            "from eventstore import Event, Filter, P, ConcurrencyConflict",
            "from eventstore.postgres import PostgresEventStore",
        ),
        "[The event store](eventstore.md)",
    ),
    Task("use it without a database", ("from eventstore import MemoryEventStore",), "[The event store](eventstore.md)"),
    Task(
        "look after a database",
        ("from eventstore.postgres import measure, migrate, prune, survey",),
        "[Commands](commands.md): `worker db …`",
    ),
)

ERRORS = """\
## Errors

Three bases, one a package; each message is a sentence for a person.

| catch | of | and then |
| --- | --- | --- |
| [`EventStoreError`](api-eventstore.md#eventstoreerror) | the store | by its family |
| [`ConflictError`](api-eventstore.md#errors) | the store | query, decide and append again |
| [`RetryableError`](api-eventstore.md#errors) | the store | make the same call again, a little later |
| [`PermanentError`](api-eventstore.md#errors) | the store | change the call, or call a person |
| [`HandlerError`](api-handlers.md#errors) | a domain, or what is made of it | correct the domain, or the command |
| [`WorkerError`](api-worker.md#workererror) | publishing, waiting, following | as each one says |
"""

PAGES = (
    Page(
        "api-handlers.md",
        "handlers",
        "domains, and readers of their views",
        (Section("Domains: `handlers`", "handlers"),),
    ),
    Page(
        "api-testing.md",
        "handlers.testing",
        "the test kit",
        (Section("The test kit: `handlers.testing`", "handlers.testing"),),
    ),
    Page(
        "api-worker.md",
        "worker",
        "publishing, and waiting for tables",
        (
            Section("Publishing and reading: `worker`", "worker"),
            Section("What these raise: `worker.errors`", "worker.errors"),
        ),
    ),
    Page(
        "api-eventstore.md",
        "eventstore",
        "filters, events, positions, and what every store promises",
        (
            Section("The store: `eventstore`", "eventstore"),
            Section(
                "The steps of a filter: `eventstore.filter`",
                "eventstore.filter",
                ("ItemBuilder", "TypesFilter", "PredicatesFilter", "OpenFilter", "UnboundedFilter", "SinceFilter"),
            ),
        ),
    ),
    Page(
        "api-postgres.md",
        "eventstore.postgres",
        "the store on PostgreSQL, and its administration",
        (Section("On PostgreSQL: `eventstore.postgres`", "eventstore.postgres"),),
    ),
)
