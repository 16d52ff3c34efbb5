import pytest
from yarl import URL

from worker.amqp.connection import _Connection


async def test_a_connection_that_was_refused_counts_as_closed() -> None:
    # Found as garbage, and in whatever thread, it would be closed by the library, which takes an event loop.
    connection = _Connection(URL("amqp://guest:guest@127.0.0.1:1/"))
    with pytest.raises(ConnectionError):
        await connection.connect()
    assert connection.is_closed
