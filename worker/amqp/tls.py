"""TLS with the broker: what an ``amqps://`` address asks for, and what went wrong, for people."""

import ssl
from base64 import b64decode
from binascii import Error as NotBase64
from urllib.parse import parse_qs, urlsplit

from eventstore.system_error import said_of
from worker.address_form import TLS_PARAMETERS
from worker.errors import BrokerMisconfigured

__all__ = ["SERVER_NAME", "tls_context", "tls_trouble"]

SERVER_NAME = "server_hostname"
"""Parameter of an address: the name in the broker's certificate, if it is not the host's name."""

_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


def tls_context(url: str) -> ssl.SSLContext | None:
    """Return the TLS context of a connection to an address; None for ``amqp://``.

    The certificate and the host's name are verified, unless ``no_verify_ssl=1`` is given. ``cafile``, ``capath`` or
    ``cadata`` (base64 of DER) name the CAs, by default the system's. ``certfile`` and ``keyfile`` are shown to a broker
    that asks for a client certificate.

    Raises:
        BrokerMisconfigured: A file cannot be used, which the message names; or parameters ask for TLS without
            ``amqps://``.
    """
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme != "amqps":
        if asked := sorted(TLS_PARAMETERS & given.keys()):
            raise BrokerMisconfigured(f"AMQP_URL: {', '.join(asked)} asks for TLS; begin it with amqps://")
        return None
    context = _trusting(given)
    if "certfile" in given or "keyfile" in given:
        _show_certificate(context, given)
    if _gives_up_verification(given.get("no_verify_ssl", "")):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_trouble(error: BaseException) -> str | None:
    """Return what is wrong with TLS and what to do, if that caused an error and trying again cannot help; or None."""
    cause: BaseException | None = error
    seen: set[int] = set()  # the library's exceptions can be each other's causes
    while cause is not None and not isinstance(cause, ssl.SSLError) and id(cause) not in seen:
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, ssl.SSLError) or isinstance(
        cause, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    ):
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = cause.verify_message.rstrip(".")
        return (
            f"its certificate is not accepted ({reason}); name the CA that signed it by ?cafile=… in AMQP_URL, "
            f"and the host as the certificate does, or that name by &{SERVER_NAME}=…"
        )
    return (
        f"TLS fails ({cause.reason}); check whether its port speaks TLS, and whether it asks for a client "
        "certificate, which ?certfile=…&keyfile=… names in AMQP_URL"
    )


def _trusting(given: dict[str, str]) -> ssl.SSLContext:
    try:
        data = b64decode(given["cadata"], validate=True) if "cadata" in given else None
        return ssl.create_default_context(cafile=given.get("cafile"), capath=given.get("capath"), cadata=data)
    except (OSError, NotBase64) as error:  # ssl.SSLError is an OSError
        if isinstance(error, OSError) and error.filename is not None:
            # None of the address's: Python opens it by itself.
            raise BrokerMisconfigured(
                f"TLS uses the file {error.filename}, which cannot be opened ({said_of(error)}); correct SSLKEYLOGFILE"
            ) from None
        places = ", ".join(f"{name}={given[name]}" for name in ("cafile", "capath") if name in given) or "cadata"
        raise BrokerMisconfigured(f"AMQP_URL: {places} {_why(error, 'holds no certificate')}") from None


def _show_certificate(context: ssl.SSLContext, given: dict[str, str]) -> None:
    if "certfile" not in given:
        raise BrokerMisconfigured("AMQP_URL: keyfile is named without certfile; name both")
    files = ", ".join(f"{name}={given[name]}" for name in ("certfile", "keyfile") if name in given)
    try:
        # A key that needs a password would prompt on the terminal.
        context.load_cert_chain(given["certfile"], given.get("keyfile"), password=lambda: "")
    except OSError as error:
        raise BrokerMisconfigured(
            f"AMQP_URL: {files} {_why(error, 'are no certificate and its key without a password')}"
        ) from None


def _gives_up_verification(text: str) -> bool:
    # The library takes any text but 0 for yes, even "false".
    if text.lower() not in _YES | _NO:
        raise BrokerMisconfigured("AMQP_URL: no_verify_ssl must be 1 or 0")
    return text.lower() in _YES


def _why(error: Exception, content: str) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return f"cannot be read: {error.strerror}"
    return f"{content}, in PEM form"
