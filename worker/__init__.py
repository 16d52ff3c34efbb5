"""The worker: decides commands from RabbitMQ against an event store on PostgreSQL.

Programs that publish commands need ``Publisher``, whose ``request`` returns a ``Reply``. Programs that read the tables
of projections need ``ReadModels``. Each is imported when it is first used: ``import worker`` loads nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.message import Reply
    from worker.publisher import Publisher
    from worker.reading.read_models import ReadModels

__all__ = ["Publisher", "ReadModels", "Reply", "__version__"]

__version__ = "0.1.0"

# Hidden from type checkers, which would otherwise assume that every name exists.
if not TYPE_CHECKING:
    _PLACES = {
        "Publisher": "worker.publisher",
        "ReadModels": "worker.reading.read_models",
        "Reply": "worker.message",
    }

    def __getattr__(name: str) -> object:
        """Import a public name on first use."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  loading later than this package is the purpose

        found = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
