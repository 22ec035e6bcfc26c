"""What is counted as plain numbers is told as Prometheus takes it."""

import time
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from tollgate.http.metrics import BUCKETS, RequestMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """A moment at which the clock of what is measured stands still."""
    clock = SimpleNamespace(perf_counter=lambda: 1000.0)
    monkeypatch.setattr("tollgate.http.metrics.time", clock)
    return clock.perf_counter()


def test_requests_are_counted_by_route_method_and_status(
    registry: CollectorRegistry,
) -> None:
    metrics = RequestMetrics(registry)

    for status in ("200", "200", "401"):
        metrics.count("/token", "POST", status, time.perf_counter())

    def count(status: str) -> float | None:
        labels = {"route": "/token", "method": "POST", "status": status}
        return registry.get_sample_value("tollgate_http_requests_total", labels)

    assert (count("200"), count("401"), count("503")) == (2, 1, None)


def test_seconds_are_counted_in_every_bucket_that_holds_them(
    registry: CollectorRegistry, now: float
) -> None:
    metrics = RequestMetrics(registry)
    name = "tollgate_http_request_seconds"

    for seconds in (0.0, 0.7, 100.0):
        metrics.count("/x", "GET", "200", now - seconds)

    def up_to(bound: str) -> float | None:
        return registry.get_sample_value(f"{name}_bucket", {"route": "/x", "le": bound})

    assert [up_to(str(bound)) for bound in BUCKETS] == [
        1 if bound < 0.7 else 2 for bound in BUCKETS
    ]
    assert up_to("+Inf") == 3
    assert registry.get_sample_value(f"{name}_count", {"route": "/x"}) == 3
    total = registry.get_sample_value(f"{name}_sum", {"route": "/x"})
    assert total == pytest.approx(100.7)


def test_those_answered_together_are_counted_as_each_alone(
    registry: CollectorRegistry, now: float
) -> None:
    metrics = RequestMetrics(registry)

    metrics.count_all("/x", "GET", "200", [now, now - 0.7, now - 100.0])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"tollgate_http_{name}", labels)

    assert value("requests_total", route="/x", method="GET", status="200") == 3
    seconds = "request_seconds"
    assert value(f"{seconds}_bucket", route="/x", le="0.5") == 1
    assert value(f"{seconds}_bucket", route="/x", le="1.0") == 2
    assert value(f"{seconds}_count", route="/x") == 3
    assert value(f"{seconds}_sum", route="/x") == pytest.approx(100.7)
