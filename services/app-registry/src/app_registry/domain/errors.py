"""Why a command is refused. `http/problems.py` says how each reads over HTTP."""

from tollgate.errors import DomainError


class NotAuthenticated(DomainError):
    """Nobody who may command here is behind the request."""


class NotPermitted(DomainError):
    """The actor is known, and their roles do not reach that far."""


class VersionDiffers(DomainError):
    """The thing has changed since the client read it."""


class IdempotencyKeyReused(DomainError):
    """One key, two different requests: which of them was meant?"""


class NoSuchWorkspace(DomainError):
    pass


class NoSuchMember(DomainError):
    pass


class NoSuchAccessToken(DomainError):
    pass


class NoSuchSource(DomainError):
    pass


class NoSuchWriteKey(DomainError):
    pass


class NoSuchApp(DomainError):
    pass


class NoSuchKey(DomainError):
    pass


class UnacceptableName(DomainError):
    pass


class UnacceptableEmail(DomainError):
    pass


class UnacceptableRoles(DomainError):
    pass


class LastOwner(DomainError):
    """Nobody would be left who may administer the workspace."""


class UnacceptableExpiry(DomainError):
    pass


class UnknownSourceType(DomainError):
    pass


class UnacceptableWriteKey(DomainError):
    pass


class WriteKeyTaken(DomainError):
    """A write key belongs to one source of the deployment, for good."""


class TooManyWriteKeys(DomainError):
    pass


class SourceStillConnected(DomainError):
    pass


class SourceTypeWithoutOAuth(DomainError):
    """Sources of that type run where no private key can be kept."""


class SourceHasAnotherApp(DomainError):
    pass


class SourceHasNoApp(DomainError):
    pass


class EnforcementStillOn(DomainError):
    pass


class UnacceptableScopes(DomainError):
    pass


class UnknownTokenLifetime(DomainError):
    pass


class TooManyKeys(DomainError):
    pass


class KeyAlreadyHeld(DomainError):
    pass


class AppStillConnected(DomainError):
    pass


class NameNotConfirmed(DomainError):
    """An app is deleted only by someone who gives its name again."""
