"""The form of addresses: finds what is wrong with an address before connecting, without showing its password."""

from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

__all__ = ["AMQP_EXAMPLE", "ESCAPES", "TLS_PARAMETERS", "check_amqp", "check_port", "check_url"]

AMQP_EXAMPLE = "amqp://user:password@host:5672/vhost"
"""The form of the address of a broker."""

ESCAPES = (
    "in user name and password, write / ? # @ [ ] and \\ as %2F, %3F, %23, %40, %5B, %5D and %5C, elsewhere @ as %40"
)
"""Advice about characters that have a meaning in addresses."""
TLS_PARAMETERS = frozenset({"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl", "server_hostname"})
"""The parameters for TLS that a broker's address may have, besides its scheme."""

_AUTH = "auth"
_AUTH_WAYS = ("plain", "external")
_AMQP_PARAMETERS = TLS_PARAMETERS | {_AUTH}
_AMQP_SCHEMES = frozenset({"amqp", "amqps"})
# As the protocol counts a short text.
_LONGEST_VHOST = 255


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
    # Libraries parse the address again, and differ: of two @, one takes the first, another the last. An @ in the path
    # may follow the password of a second address, and servers quote the path in their errors.
    if ("@" not in parts.netloc and "@" in url) or parts.netloc.count("@") > 1 or "@" in parts.path or "#" in url:
        raise ValueError(ESCAPES)
    if not _is_text(url):
        raise ValueError("its escapes with % must be UTF-8, and none of them %00")
    return parts


def check_port(url: str, schemes: frozenset[str], example: str) -> None:
    """Check an address of one host with its port. Arguments and errors are those of ``check_url``."""
    parts = check_url(url, schemes, example)
    if url and not parts.hostname:
        raise ValueError(f"its host is missing; give it the form {example}")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(f"it takes one host, such as a name of several addresses; give it the form {example}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"its port is not a number up to 65535; give it the form {example}")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("a part of its host's name, between dots, is missing or longer than 63 characters") from None


def check_amqp(url: str) -> None:
    """Check an address of RabbitMQ. An empty address passes.

    Raises:
        ValueError: The address is invalid, or libraries would parse it differently; the message does not quote it.
    """
    if "\\" in url.partition("://")[2].partition("/")[0]:
        raise ValueError(ESCAPES)
    check_port(url, _AMQP_SCHEMES, AMQP_EXAMPLE)
    if len(unquote(urlsplit(url).path[1:]).encode()) > _LONGEST_VHOST:
        raise ValueError(f"its virtual host has more than {_LONGEST_VHOST} bytes; give it the form {AMQP_EXAMPLE}")
    _check_amqp_parameters(url)


def _is_text(url: str) -> bool:
    try:
        return "\0" not in unquote(url, errors="strict")
    except UnicodeDecodeError:
        return False


def _check_amqp_parameters(url: str) -> None:
    """Check that all parameters are known: an unknown one would be ignored."""
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        if name not in _AMQP_PARAMETERS:
            alike = get_close_matches(name, sorted(_AMQP_PARAMETERS), n=1)
            meant = f" (did you mean {alike[0]}?)" if alike else ""
            known = ", ".join(sorted(_AMQP_PARAMETERS))
            raise ValueError(f"its parameter {name!r} is unknown{meant}: remove it; known parameters are {known}")
        if name == _AUTH and values[-1].lower() not in _AUTH_WAYS:
            raise ValueError(f"its parameter {_AUTH} must be one of {', '.join(_AUTH_WAYS)}")
