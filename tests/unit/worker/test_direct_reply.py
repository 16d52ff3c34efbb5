"""Direct reply-to: the addresses that a broker can have written."""

from base64 import b64encode

import pytest

from worker.amqp.direct_reply import is_direct, is_sound

_PROCESS = b64encode(b"\x83Xw-a-process").decode()
SOUND = f"amq.rabbitmq.reply-to.{_PROCESS}.a1+/=="


def test_a_brokers_address_is_accepted() -> None:
    assert is_direct(SOUND)
    assert is_sound(SOUND)


@pytest.mark.parametrize(
    "address",
    [
        "amq.rabbitmq.reply-to",
        "amq.rabbitmq.reply-to.none",
        "amq.rabbitmq.reply-to..key",
        f"amq.rabbitmq.reply-to.{b64encode(b'no term').decode()}.key",
        "amq.rabbitmq.reply-to.g1h2!.key",
        "amq.rabbitmq.reply-to.g1h2a.key",
        f"{SOUND} ",
        f"{SOUND}\n",
    ],
)
def test_an_invalid_address_is_refused(address: str) -> None:
    assert is_direct(address)
    assert not is_sound(address)


def test_a_queue_is_no_direct_reply_address() -> None:
    assert not is_direct("replies.amq.rabbitmq.reply-to")
