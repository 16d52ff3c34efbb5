"""Master keys: wrap the keys of subjects. The database never gets one."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from eventstore import StoreMisconfigured, Subject, SubjectKey
from eventstore.jsontext import canonical
from handlers.errors import HandlerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["DataKey", "InvalidMasterKey", "MasterKeys"]

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FINGERPRINT_BYTES = 8
_FORM = b"\x01"
_FORM_OF = "is not 32 bytes in base64; `openssl rand -base64 32` makes one"


class InvalidMasterKey(HandlerError, ValueError):
    """Raised by ``MasterKeys``: a text is no key, or the encryption package is missing. It quotes no text.

    Also raised when a domain with Sensitive fields is read without a master key.
    """


class DataKey:
    """The key of one subject, ready to seal and open values.

    Attributes:
        id: The id by which sealed values name the key.
    """

    __slots__ = ("_cipher", "id")

    def __init__(self, key_id: UUID, key: bytes) -> None:
        self.id = key_id
        self._cipher = _aes(key)

    def __repr__(self) -> str:
        return f"DataKey({self.id})"

    def seal(self, text: bytes, bound_to: bytes) -> bytes:
        """Return the sealed text; opening it requires the same ``bound_to`` bytes."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Return the text that was sealed.

        Raises:
            ValueError: The value was sealed by another key, or bound to other bytes.
        """
        return _opened(self._cipher, sealed, bound_to)


class MasterKeys:
    """Wraps and unwraps the keys of subjects.

    Args:
        texts: The master keys, each 32 bytes in base64. The first one wraps and all of them unwrap, so that keys can be
            rotated.

    Raises:
        InvalidMasterKey: There is no key, a text is no key, or the package ``cryptography`` is missing.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        keys = [_decoded(text) for text in texts]
        if not keys:
            raise InvalidMasterKey("there is none")
        self._ciphers = {_fingerprint(key): _aes(key) for key in keys}
        self._first = _fingerprint(keys[0])

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(fingerprint.hex() for fingerprint in self._ciphers)})"

    def make(self, subject: Subject) -> SubjectKey:
        """Create a key for a subject, and wrap it."""
        key_id = uuid4()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = self._ciphers[self._first]
        wrapped = cipher.encrypt(nonce, secrets.token_bytes(_KEY_BYTES), _owner(key_id, subject))
        return SubjectKey(id=key_id, subject=subject, wrapped=_FORM + self._first + nonce + wrapped)

    def unwrap(self, key: SubjectKey) -> DataKey:
        """Unwrap a subject's key.

        Raises:
            StoreMisconfigured: The key was wrapped by a master key that is not given, or is damaged.
        """
        fingerprint = key.wrapped[1 : 1 + _FINGERPRINT_BYTES]
        cipher = self._ciphers.get(fingerprint)
        if key.wrapped[:1] != _FORM or cipher is None:
            raise StoreMisconfigured(
                f"the keys of subjects are wrapped by the master key {fingerprint.hex()}, and given "
                f"{'is' if len(self._ciphers) == 1 else 'are'} {', '.join(each.hex() for each in self._ciphers)}: name "
                "that one as well"
            )
        try:
            found = _opened(cipher, key.wrapped[1 + _FINGERPRINT_BYTES :], _owner(key.id, key.subject))
        except ValueError:
            raise StoreMisconfigured(f"the key {key.id} of a subject is not as it was stored") from None
        return DataKey(key.id, found)


def _aes(key: bytes) -> "AESGCM":
    """Return the cipher of a key.

    Raises:
        InvalidMasterKey: The package ``cryptography`` is missing.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  only sealing needs it
    except ImportError as error:
        raise InvalidMasterKey(
            "the package that encrypts is missing: install dynamic-streams-worker[erasure]"
        ) from error
    return AESGCM(key)


def _opened(cipher: "AESGCM", sealed: bytes, bound_to: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  as above

    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise ValueError("it is not what was sealed") from None


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMasterKey(_FORM_OF) from None
    if len(key) != _KEY_BYTES:
        raise InvalidMasterKey(_FORM_OF)
    return key


def _fingerprint(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=_FINGERPRINT_BYTES, person=b"master key").digest()


def _owner(key_id: UUID, subject: Subject) -> bytes:
    return canonical([str(key_id), subject.field, subject.value])
