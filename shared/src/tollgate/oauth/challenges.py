"""A WWW-Authenticate value (RFC 6750 §3, RFC 9110 §11.6.1), as a value."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tollgate.oauth.errors import InsufficientScope, OAuthError
from tollgate.oauth.scopes import format_scope

_FIT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a client is told together with a 401, or a 403 for want of a scope.

    Everything in here is quoted in a header, so only text of ours that needs no
    escaping goes in; anything else is our own mistake and raises `ValueError`.
    """

    realm: str
    error: str | None = None
    error_description: str | None = None
    scope: str | None = None

    def __post_init__(self) -> None:
        if not all(_FIT(value) for _, value in self._parameters()):
            raise ValueError("not fit for a challenge (RFC 6750 §3)")

    def to_header(self) -> str:
        """The value of the field; each parameter stands once."""
        return "Bearer " + ", ".join(
            f'{name}="{value}"' for name, value in self._parameters()
        )

    def _parameters(self) -> list[tuple[str, str]]:
        parameters = {
            "realm": self.realm,
            "error": self.error,
            "error_description": self.error_description,
            "scope": self.scope,
        }
        return [
            (name, value) for name, value in parameters.items() if value is not None
        ]


def challenge_of(
    error: OAuthError | None, *, realm: str, scopes: Iterable[str] = ()
) -> Challenge:
    """The challenge for a refusal.

    No error means that no credential was sent, and then RFC 6750 §3.1 wants no error
    code. The scope that would have been enough is named only when it was the cause.
    """
    if error is None:
        return Challenge(realm=realm)
    return Challenge(
        realm=realm,
        error=error.error,
        error_description=error.description,
        scope=format_scope(scopes) if isinstance(error, InsufficientScope) else None,
    )
