"""The worker: decides commands from RabbitMQ against an event store on PostgreSQL.

Programs that send commands need ``Publisher`` alone. It is imported when it is used: ``import worker`` loads nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.publisher import Publisher

__all__ = ["Publisher", "__version__"]

__version__ = "0.1.0"

# Hidden from type checkers, for whom every name would exist.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is asked for for the first time."""
        if name != "Publisher":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from worker.publisher import Publisher  # noqa: PLC0415  later than the import of this package is the purpose

        globals()[name] = Publisher
        return Publisher

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
