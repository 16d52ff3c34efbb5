"""The warehouse's load scenarios."""

from handlers.warehouse.scenarios.bounded import Bounded
from handlers.warehouse.scenarios.broad import Broad
from handlers.warehouse.scenarios.new_orders import NewOrders
from handlers.warehouse.scenarios.two_domains import TwoDomains

__all__ = ["scenarios"]

scenarios = (NewOrders, Broad, Bounded, TwoDomains)
