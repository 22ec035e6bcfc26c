"""Bearer credentials of other services, from the settings."""

import hashlib
import hmac
from collections.abc import Sequence

from tollgate.settings import Secret


class ServiceCredentials:
    """Bearer credentials of services that may see every token."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._digests = [_digest(secret.reveal()) for secret in secrets]

    def include(self, credential: str) -> bool:
        """Every one is compared, in constant time."""
        given = _digest(credential)
        return sum(hmac.compare_digest(given, known) for known in self._digests) > 0


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
