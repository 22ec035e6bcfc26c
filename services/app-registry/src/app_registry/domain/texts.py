"""What names, addresses and write keys may look like."""

import re
import unicodedata

from app_registry.domain.errors import (
    UnacceptableEmail,
    UnacceptableName,
    UnacceptableWriteKey,
)

MAX_NAME_LENGTH = 100
MAX_EMAIL_LENGTH = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets

_JOINERS = "\u200c\u200d"
"""Invisible, but names in Persian, Hindi and emoji are written with them."""

_UNFIT = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and formatting characters, lone surrogates, line breaks."""

_WRITE_KEY = re.compile(r"[ -9;-~]{8,128}", re.ASCII).fullmatch
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch


def require_name(name: str) -> None:
    """A name is one line that a person can read and type again."""
    if not name or len(name) > MAX_NAME_LENGTH:
        raise UnacceptableName(f"a name has 1 to {MAX_NAME_LENGTH} characters")
    if not _is_readable(name):
        raise UnacceptableName("a name holds no control or formatting characters")
    if name != name.strip():
        raise UnacceptableName("a name neither starts nor ends with white space")


def require_email(email: str) -> None:
    if len(email) > MAX_EMAIL_LENGTH or not _EMAIL(email) or not _is_readable(email):
        raise UnacceptableEmail("that is not an email address")


def require_write_key(write_key: str) -> None:
    """As collectors have them; a colon would end the user name of HTTP Basic."""
    if not _WRITE_KEY(write_key):
        raise UnacceptableWriteKey(
            "a write key has 8 to 128 printable ASCII characters and no colon"
        )


def _is_readable(text: str) -> bool:
    return all(
        unicodedata.category(character) not in _UNFIT or character in _JOINERS
        for character in text
    )
