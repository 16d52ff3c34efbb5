"""The imports of every module, and those that break the layering of the packages."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

PACKAGES = ("eventstore", "handlers", "worker")
# The packages that each package may import: itself and lower layers.
BELOW = {package: PACKAGES[: place + 1] for place, package in enumerate(PACKAGES)}
OURS = {*PACKAGES, "deploy", "tests"}

DATABASE = {"asyncpg", "psycopg", "psycopg_pool", "sqlalchemy"}
# The modules that may import them.
DRIVERS = {"eventstore.postgres.drivers"}
BROKER = {"aio_pika", "aiormq", "pamqp"}
# The modules that may import the broker's client library.
TRANSPORT = {"worker.amqp"}
# It awaits the store and other readers; it accesses no server and no file itself.
WAITING = {"handlers.long_reads", "handlers.part_reader", "handlers.state_storage"}
# Modules that only some may import, those that may, and the error for others.
KNOWN_BY = (
    (DATABASE, DRIVERS, "only eventstore.postgres.drivers knows the database's drivers"),
    (BROKER, TRANSPORT, "only worker.amqp knows the broker's library"),
    (
        {"eventstore.postgres"},
        {"eventstore.postgres", "worker"},
        "engines build on the core, and only the worker chooses one",
    ),
    ({"worker.cli"}, {"worker.cli", "worker.__main__"}, "the command line is on top: nothing builds on it"),
)
# Modules of the standard library that do or await I/O.
INPUT_OUTPUT = {
    "asyncio",
    "asyncore",
    "asynchat",
    "concurrent",
    "ctypes",
    "curses",
    "dbm",
    "fcntl",
    "ftplib",
    "http",
    "imaplib",
    "io",
    "mmap",
    "multiprocessing",
    "nntplib",
    "os",
    "pathlib",
    "poplib",
    "pty",
    "select",
    "selectors",
    "shelve",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "telnetlib",
    "tempfile",
    "termios",
    "threading",
    "tkinter",
    "tty",
    "urllib",
    "webbrowser",
    "xmlrpc",
}
PURE = (set(sys.stdlib_module_names) - INPUT_OUTPUT) | {
    "cryptography",
    "eventstore",
    "handlers",
    "msgspec",
    "pydantic",
    "pydantic_core",
    "rpds",
}


def sources(root: Path, packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The source of every module of some packages, by dotted name; packages end in ``.__init__``."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path.read_text()
        for package in packages
        for path in (root / package).rglob("*.py")
    }


@cache
def imported(module: str, text: str) -> frozenset[str]:
    """The dotted names of all imports of a module, at any level."""
    return frozenset(_imported(module, ast.parse(text)))


def _imported(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = module.split(".")[:-level] if level else []
                origin = ".".join([*base, *([source] if source else [])])
                # A name may be a module itself: ``from eventstore import postgres``.
                yield from (f"{origin}.{name.name}" for name in names)


def within(name: str, packages: set[str] | tuple[str, ...]) -> bool:
    """Whether a dotted name is one of these modules or in one of them."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def faults(modules: Mapping[str, str]) -> list[str]:
    """Every forbidden import, one line each."""
    found = [
        f"{module} imports {name}: {fault}"
        for module, text in modules.items()
        for name in imported(module, text)
        if (fault := _fault(module, name)) is not None
    ]
    return sorted(found)


def _fault(module: str, name: str) -> str | None:
    package = module.partition(".")[0]
    if within(name, OURS) and not within(name, BELOW[package]):
        return "imports run worker, handlers, eventstore"
    for known, by, fault in KNOWN_BY:
        if within(name, known) and not within(module, by):
            return fault
    if package == "handlers" and not within(name, PURE) and not (module in WAITING and name == "asyncio"):
        return "handlers do no input and output"
    return None
