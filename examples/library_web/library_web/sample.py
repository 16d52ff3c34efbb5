"""A few books and readers to begin with, recorded by commands like any others."""

from uuid import UUID, uuid5

from eventstore import Position
from handlers import Command
from handlers.library.add_book_copy import AddBookCopyToCirculation
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.register_reader import RegisterReader

from .commands import Commands

# Ids that are made of what the commands say: filling a library twice is filling it once.
_IDS = UUID("7a4c5f0e-53a5-4d3e-9f0e-1d6b8f0f3a11")

_BOOKS = (
    ("moby-dick", "Moby-Dick", "Herman Melville", 1851),
    ("middlemarch", "Middlemarch", "George Eliot", 1871),
    ("war-and-peace", "War and Peace", "Leo Tolstoy", 1869),
    ("emma", "Emma", "Jane Austen", 1815),
    ("frankenstein", "Frankenstein", "Mary Shelley", 1818),
    ("don-quixote", "Don Quixote", "Miguel de Cervantes", 1605),
    ("faust", "Faust", "Johann Wolfgang von Goethe", 1808),
    ("germinal", "Germinal", "Émile Zola", 1885),
    ("dead-souls", "Dead Souls", "Nikolai Gogol", 1842),
    ("walden", "Walden; or, Life in the Woods", "Henry David Thoreau", 1854),
    ("three-men", "Three Men in a Boat (To Say Nothing of the Dog)", "Jerome K. Jerome", 1889),
    ("jane-eyre", "Jane Eyre", "Charlotte Brontë", 1847),
)
_READERS = (("ada", "Ada Lovelace"), ("alan", "Alan Turing"), ("emmy", "Emmy Noether"), ("grace", "Grace Hopper"))
_LOANS = (("emma", "ada"), ("faust", "alan"), ("frankenstein", "grace"))


async def fill(commands: Commands) -> Position | None:
    """Record books, readers and loans, and wait for each answer: a loan needs its book. Return where they end."""
    end = None
    for command in _commands():
        reply = await commands.send(command, uuid5(_IDS, f"{type(command).__name__} {command.model_dump_json()}"))
        end = reply.position or end
    return end


def _commands() -> list[Command]:
    books = [
        AddBookCopyToCirculation(
            book_id=book_id,
            isbn="none",
            title=title,
            authors=authors,
            edition="1st",
            publisher="many",
            publication_year=year,
        )
        for book_id, title, authors, year in _BOOKS
    ]
    readers = [RegisterReader(reader_id=reader_id, name=name) for reader_id, name in _READERS]
    loans = [LendBookCopyToReader(book_id=book_id, reader_id=reader_id) for book_id, reader_id in _LOANS]
    return [*books, *readers, *loans]
