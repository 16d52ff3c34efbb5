"""A program whose log is tampered with, after the load and before the oracle reads it."""

__all__ = ["tampered"]

# Somebody with all rights changes one event on the primary.
_TAMPERED = """
import os, asyncpg
{begin}
from worker.load import session

judge = session.judge

async def tampered(*arguments, **options):
    connection = await asyncpg.connect(os.environ["DATABASE_ADMIN_URL"])
    await connection.execute("ALTER TABLE eventstore.events DISABLE TRIGGER USER")
    done = await connection.execute('''
        UPDATE eventstore.events SET payload = payload || '{{"ReaderID": "mallory"}}'
        WHERE sequence_number = (
            SELECT min(sequence_number) FROM eventstore.events WHERE event_type = 'BookCopyLentToReader'
        )
    ''')
    assert done == "UPDATE 1"
    await connection.close()
    return await judge(*arguments, **options)

session.judge = tampered
{program}
"""


def tampered(begin: str, program: str) -> str:
    """Return the source of a program.

    Args:
        begin: What it imports.
        program: What it then runs.
    """
    return _TAMPERED.format(begin=begin, program=program)
