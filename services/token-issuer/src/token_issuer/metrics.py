"""What the issuer counts."""

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class IssuerMetrics(Collector):
    """Registers its metrics once a process; the event loop alone counts with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        registry.register(self)
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

    def count_request(self, endpoint: str, outcome: str, times: int = 1) -> None:
        self._requests[endpoint, outcome] += times

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For requests: each is counted, and few ask."""
        requests = CounterMetricFamily(
            "token_issuer_requests",
            "Requests of the OAuth endpoints by outcome: ok, or the error code.",
            labels=("endpoint", "outcome"),
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        yield requests
