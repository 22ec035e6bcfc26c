"""What messaging counts. Each class registers its metrics once a process."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class FeedMetrics:
    """The owner's side of the feed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tollgate_feed_requests",
            "Reads of the feed by log and status.",
            ("log", "status"),
            registry=registry,
        )
        self.confirmed = Gauge(
            "tollgate_feed_confirmed_position",
            "Position that a named instance said it has applied.",
            ("log", "reader", "instance"),
            registry=registry,
        )


class SubscriptionMetrics:
    """The reader's side, by log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.position = Gauge(
            "tollgate_log_position",
            "Position up to which the log is applied here.",
            ("log",),
            registry=registry,
        )
        self.head = Gauge(
            "tollgate_log_head",
            "Position of the log's head at the last poll.",
            ("log",),
            registry=registry,
        )
        self.age = Gauge(
            "tollgate_log_age_seconds",
            "Age of what is known of the log; +Inf before the first poll.",
            ("log",),
            registry=registry,
        )
        self.ready = Gauge(
            "tollgate_log_ready",
            "1 while decisions can be taken from this log.",
            ("log",),
            registry=registry,
        )
        self.stopped = Gauge(
            "tollgate_log_stopped",
            "1 while an event that cannot be applied stops this log.",
            ("log",),
            registry=registry,
        )
        self.pushed = Gauge(
            "tollgate_log_pushed",
            "1 while the broker delivers events of this log.",
            ("log",),
            registry=registry,
        )
        self.applied = Counter(
            "tollgate_log_events_applied",
            "Events applied, by the way they came: broker or feed.",
            ("log", "way"),
            registry=registry,
        )
        self.polls = Counter(
            "tollgate_log_polls",
            "Reads of the log's source by outcome.",
            ("log", "outcome"),
            registry=registry,
        )
        self.messages = Counter(
            "tollgate_log_messages",
            "Broker messages by outcome: applied, seen, hole, unreadable, refused.",
            ("log", "outcome"),
            registry=registry,
        )
        self.rebuilds = Counter(
            "tollgate_log_rebuilds",
            "Times the log had another history and the view was built anew.",
            ("log",),
            registry=registry,
        )


class RelayMetrics:
    """The owner's way to the broker, by log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.active = Gauge(
            "tollgate_relay_active",
            "1 in the process whose relay publishes the log.",
            ("log",),
            registry=registry,
        )
        self.position = Gauge(
            "tollgate_relay_position",
            "Position up to which the broker has confirmed the log.",
            ("log",),
            registry=registry,
        )
        self.head = Gauge(
            "tollgate_relay_head",
            "Position of the log's head as the relay last saw it.",
            ("log",),
            registry=registry,
        )
        self.published = Counter(
            "tollgate_relay_events_published",
            "Events confirmed by the broker.",
            ("log",),
            registry=registry,
        )
        self.failures = Counter(
            "tollgate_relay_failures",
            "Publishing that failed: unroutable, refused, unconfirmed, disconnected.",
            ("log", "reason"),
            registry=registry,
        )
