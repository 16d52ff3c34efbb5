"""Stock: the initial state of a load."""

from collections.abc import Iterable

from handlers.warehouse.receive_pieces import ReceivePieces

__all__ = ["called", "delivered"]


def called(prefix: str, what: str, count: int) -> list[str]:
    """Return ``count`` numbered names."""
    return [f"{prefix}{what}-{number}" for number in range(1, count + 1)]


def delivered(products: Iterable[str], pieces: int) -> list[ReceivePieces]:
    """Return a delivery of ``pieces`` pieces for each product."""
    return [ReceivePieces(delivery=f"{product}-delivery", product=product, pieces=pieces) for product in products]
