"""The library's load scenarios."""

from handlers.library.scenarios.duplicate_storm import DuplicateStorm
from handlers.library.scenarios.hot_book import HotBook
from handlers.library.scenarios.hot_reader import HotReader
from handlers.library.scenarios.last_copies import LastCopies
from handlers.library.scenarios.library_day import LibraryDay
from handlers.library.scenarios.mixed import Mixed
from handlers.library.scenarios.overlapping import Overlapping
from handlers.library.scenarios.uncontended import Uncontended

__all__ = ["scenarios"]

scenarios = (Uncontended, HotBook, HotReader, LastCopies, Overlapping, DuplicateStorm, LibraryDay, Mixed)
