"""What the issuer counts."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge


class IssuerMetrics:
    """Registers its metrics once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "token_issuer_requests",
            "Requests of the OAuth endpoints by outcome: ok, or the error code.",
            ("endpoint", "outcome"),
            registry=registry,
        )
        self._requests_of = cache(self.requests.labels)
        self.held = Gauge(
            "token_issuer_requests_held",
            "Requests that are being answered, or wait for trouble to pass.",
            registry=registry,
        )
        self.revocations = Counter(
            "token_issuer_revocations",
            "Revocations recorded, by what they end.",
            ("kind",),
            registry=registry,
        )
        self.can_sign = Gauge(
            "token_issuer_can_sign",
            "1 while there is an active signing key whose private half is at hand.",
            registry=registry,
        )

    def count_request(self, endpoint: str, outcome: str) -> None:
        self._requests_of(endpoint, outcome).inc()
