"""Secrets at rest: AES-256-GCM under key-encryption keys that can be rotated.

A sealed secret says which key-encryption key opens it and is bound to its name, so that
one row of the database cannot be passed off as another.
"""

import hashlib
import os
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
_NONCE_SIZE = 12


class CannotOpen(Exception):
    """No key-encryption key that we hold opens it, or it is not what was sealed."""


class Sealed(msgspec.Struct, frozen=True):
    """`sealed_by` is the id of the key-encryption key; `box` is nonce, text and tag."""

    sealed_by: str
    box: bytes


class Sealer:
    """The first key-encryption key seals; every one of them opens."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("at least one key-encryption key is needed")
        if any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"a key-encryption key has {KEY_SIZE} bytes")
        self._ciphers = {_id_of(key): AESGCM(key) for key in keys}
        self._current = _id_of(keys[0])

    def seal(self, name: str, secret: bytes) -> Sealed:
        """Encrypt `secret` so that only `open` with the same name gives it back."""
        nonce = os.urandom(_NONCE_SIZE)
        text = self._ciphers[self._current].encrypt(nonce, secret, _bound_to(name))
        return Sealed(self._current, nonce + text)

    def open(self, name: str, sealed: Sealed) -> bytes:
        """The secret, or `CannotOpen`."""
        cipher = self._ciphers.get(sealed.sealed_by)
        if cipher is None:
            raise CannotOpen("its key-encryption key is not among those configured")
        nonce, text = sealed.box[:_NONCE_SIZE], sealed.box[_NONCE_SIZE:]
        try:
            return cipher.decrypt(nonce, text, _bound_to(name))
        except (InvalidTag, ValueError):
            raise CannotOpen("it is not what was sealed under that name") from None

    def is_current(self, sealed: Sealed) -> bool:
        """Whether the first key-encryption key sealed it: the others may go then."""
        return sealed.sealed_by == self._current


def _bound_to(name: str) -> bytes:
    return b"tollgate signing key " + name.encode()


def _id_of(key: bytes) -> str:
    """Names a key-encryption key without telling anything of it."""
    return hashlib.sha256(b"tollgate key-encryption key " + key).hexdigest()[:16]
