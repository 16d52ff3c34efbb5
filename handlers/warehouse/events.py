"""The events of a warehouse."""

from typing import Annotated

from pydantic import Field, StringConstraints

from handlers.model import DomainEvent

__all__ = ["Name", "PiecesReceived", "PiecesReserved", "ProductMoved", "StockTaken"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""The name of a product, an order, a delivery or a count."""


class PiecesReceived(DomainEvent):
    """A delivery arrived."""

    delivery: str = Field(alias="Delivery")
    product: str = Field(alias="Product")
    pieces: int = Field(alias="Pieces")


class PiecesReserved(DomainEvent):
    """Pieces are set aside for an order."""

    order: str = Field(alias="Order")
    product: str = Field(alias="Product")
    pieces: int = Field(alias="Pieces")


class StockTaken(DomainEvent):
    """Everything was counted."""

    count: str = Field(alias="Count")
    pieces: int = Field(alias="Pieces")
    orders: int = Field(alias="Orders")


class ProductMoved(DomainEvent):
    """A product lies in another bay."""

    product: str = Field(alias="Product")
    bay: str = Field(alias="Bay")
    seen: int = Field(alias="Seen")
    """The sequence number of the head when the sender last looked up where the product was."""
