"""The form of addresses: finds what is wrong with an address before connecting, without showing its password."""

from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qs, urlsplit

__all__ = ["ESCAPES", "TLS_PARAMETERS", "check_amqp_parameters", "check_port", "check_url"]

ESCAPES = (
    "in user name and password, write / ? # @ [ ] and \\ as %2F, %3F, %23, %40, %5B, %5D and %5C, elsewhere @ as %40"
)
"""Advice about characters that have a meaning in addresses."""
TLS_PARAMETERS = frozenset({"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl", "server_hostname"})
"""The parameters for TLS that a broker's address may have, besides its scheme."""

_AUTH = "auth"
_AUTH_WAYS = ("plain", "external")
_AMQP_PARAMETERS = TLS_PARAMETERS | {_AUTH}


def check_url(url: str, schemes: frozenset[str], example: str) -> SplitResult:
    """Split an address into its parts. The empty string means that none is set, and passes.

    Args:
        url: The address.
        schemes: The schemes that are allowed.
        example: A valid address, for the message.

    Raises:
        ValueError: It cannot be parsed, or is ambiguous; the message does not quote it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # the original message would show what stands in the password's place
        raise ValueError(f"its host cannot be read; {ESCAPES}; give it the form {example}") from None
    if url and parts.scheme not in schemes:
        raise ValueError(f"it must have the form {example}")
    # Libraries parse the address again, and differ: of two @, one takes the first, another the last.
    if ("@" not in parts.netloc and "@" in url) or parts.netloc.count("@") > 1 or "#" in url:
        raise ValueError(ESCAPES)
    return parts


def check_port(url: str, schemes: frozenset[str], example: str) -> None:
    """Check an address of one host with its port. Arguments and errors are those of ``check_url``."""
    parts = check_url(url, schemes, example)
    try:
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        raise ValueError(f"its port is not a number up to 65535; give it the form {example}") from None


def check_amqp_parameters(url: str) -> None:
    """Check that all parameters of a broker's address are known: an unknown one would be ignored.

    Raises:
        ValueError: A parameter is unknown or has an invalid value; the message quotes only the name.
    """
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        if name not in _AMQP_PARAMETERS:
            alike = get_close_matches(name, sorted(_AMQP_PARAMETERS), n=1)
            meant = f" (did you mean {alike[0]}?)" if alike else ""
            known = ", ".join(sorted(_AMQP_PARAMETERS))
            raise ValueError(f"its parameter {name!r} is unknown{meant}: remove it; known parameters are {known}")
        if name == _AUTH and values[-1].lower() not in _AUTH_WAYS:
            raise ValueError(f"its parameter {_AUTH} must be one of {', '.join(_AUTH_WAYS)}")
