"""How a member proves who they are: administrators' access tokens.

A token reads `tg_<id>_<secret>`. The id may be shown and logged; of the secret only the
SHA-256 is kept, which is enough for 256 random bits.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime

import msgspec

from tollgate.ids import random_text
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.state import RegistryState

TOKEN_ID_LENGTH = 16

_TOKEN = re.compile(r"tg_([0-9A-Za-z]{16})_([A-Za-z0-9_-]{43})", re.ASCII).fullmatch
_NO_TOKEN = AccessToken(id="")


class NewAccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token just made. `text` is all of it, to be shown once and kept nowhere."""

    id: str
    secret_hash: str
    text: str

    def __repr__(self) -> str:
        return f"NewAccessToken(id={self.id!r})"


class Administrator(msgspec.Struct, frozen=True, kw_only=True):
    """A member, and the access token that they proved themselves with."""

    member: Member
    access_token: AccessToken


def new_access_token() -> NewAccessToken:
    token_id = random_text(TOKEN_ID_LENGTH)
    secret = secrets.token_urlsafe(32)
    return NewAccessToken(
        id=token_id, secret_hash=hash_of(secret), text=f"tg_{token_id}_{secret}"
    )


def is_access_token(bearer: str) -> bool:
    """Whether it has the form of an administrator's token, good or not."""
    return _TOKEN(bearer) is not None


def authenticate(
    state: RegistryState, bearer: str, now: datetime
) -> Administrator | None:
    """Whose token `bearer` is at `now`; None for whatever does not open the door."""
    parts = _TOKEN(bearer)
    if parts is None:
        return None
    token_id, secret = parts.groups()
    known = state.access_tokens.get(token_id, _NO_TOKEN)
    if not hmac.compare_digest(known.secret_hash, hash_of(secret)):
        return None
    member = state.members.get(known.member_id)
    if member is None or not member.exists or not known.is_live(now):
        return None
    return Administrator(member=member, access_token=known)


def hash_of(secret: str) -> str:
    """What is kept of a secret: its SHA-256 in lower-case hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
