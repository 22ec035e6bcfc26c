"""Names that are made here: unguessable, and recognisable by their prefix."""

import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

ID_LENGTH = 22
"""62 to the 22nd is more than 2 to the 130th: ids do not collide."""


def new_id(prefix: str) -> str:
    """A fresh id such as `app_…`, with `ID_LENGTH` characters of base 62."""
    return f"{prefix}_{random_text(ID_LENGTH)}"


def random_text(length: int) -> str:
    """`length` unguessable characters of base 62."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
