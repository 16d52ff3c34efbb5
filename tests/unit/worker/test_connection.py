import pytest
from yarl import URL

from worker.amqp.connection import Link
from worker.amqp.dialing import _Connection
from worker.errors import BrokerMisconfigured


async def test_a_connection_that_was_refused_counts_as_closed() -> None:
    # Found as garbage, and in whatever thread, it would be closed by the library, which takes an event loop.
    connection = _Connection(URL("amqp://guest:guest@127.0.0.1:1/"))
    with pytest.raises(ConnectionError):
        await connection.connect()
    assert connection.is_closed


@pytest.mark.parametrize(
    "url", ["amqp://app:se\\cret@mq/", "amqp://app:[secret]@mq/", "amqp://app:secret@mq:port/", "amqp://secret@xn--a/"]
)
def test_an_address_that_the_library_does_not_read_is_refused_before_it_is_tried(url: str) -> None:
    with pytest.raises(BrokerMisconfigured, match="correct AMQP_URL") as raised:
        Link(url, name="test")
    assert "secret" not in str(raised.value)
