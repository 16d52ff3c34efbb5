"""The library with affinity: commands about one book are decided by one process at a time."""

from dataclasses import replace

from handlers import library
from handlers.model import Command

__all__ = ["domain"]


def _book(command: Command) -> str:
    return str(getattr(command, "book_id", ""))


domain = replace(library.domain, name="affine", affinity=_book, shards=8)
