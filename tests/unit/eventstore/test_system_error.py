"""Errors of the operating system are reported without their number."""

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
def test_a_system_error_is_reported_in_words(error: Exception, said: str) -> None:
    assert said_of(error) == said
