"""What the operating system says is told without its number."""

import ssl

import pytest

from eventstore.system_error import said_of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (OSError("Multiple exceptions: one, another"), "Multiple exceptions: one, another"),
        (ssl.SSLError(1, "[SSL] bad record"), "[SSL] bad record"),
        (ValueError("a value"), "a value"),
        (TimeoutError(), ""),
    ],
)
def test_the_words_of_a_system_error(error: Exception, said: str) -> None:
    assert said_of(error) == said
