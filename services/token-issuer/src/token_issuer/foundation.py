"""What every part of the service stands on: its logs, and what it knows of all logs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from prometheus_client import CollectorRegistry

from token_issuer.knowledge import Knowledge
from token_issuer.settings import Settings
from tollgate.database import Pool, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.source import LocalSource
from tollgate.messaging.subscription import Subscription
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

SERVICE = "token-issuer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """`sources` are this service's own logs as others may read them."""

    pool: Pool
    tokens_log: EventLog
    issuance_log: EventLog
    notifications: Notifications
    sources: tuple[LocalSource, ...]
    registry_view: Subscription[RegistryState]
    tokens_view: Subscription[TokensState]
    knowledge: Knowledge


@asynccontextmanager
async def open_foundation(
    settings: Settings, metrics: CollectorRegistry
) -> AsyncIterator[Foundation]:
    """Nothing of it has to be reachable yet, and nothing runs by itself."""
    url = settings.database_url.reveal()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(url, application_name=SERVICE))
        tokens_log, issuance_log = [
            await stack.enter_async_context(
                open_event_log(name, pool, url, application_name=SERVICE)
            )
            for name in ("tokens", "issuance")
        ]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        notifications = Notifications(
            url,
            ("tokens", "issuance"),
            # Each token is an append, and mostly nobody waits to read of it.
            only_own=() if settings.publish_issuance else ("issuance",),
            application_name=SERVICE,
        )
        tokens_source, issuance_source = [
            LocalSource(log, notifications, max_age=settings.max_age)
            for log in (tokens_log, issuance_log)
        ]
        subscription_metrics = SubscriptionMetrics(metrics)
        registry_view = Subscription(
            FeedClient(
                session,
                settings.registry_url,
                RegistryState.LOG,
                secret=settings.registry_feed_secret,
                whole=True,
            ),
            RegistryState,
            metrics=subscription_metrics,
        )
        tokens_view = Subscription(
            tokens_source, TokensState, metrics=subscription_metrics
        )
        yield Foundation(
            pool=pool,
            tokens_log=tokens_log,
            issuance_log=issuance_log,
            notifications=notifications,
            sources=(tokens_source, issuance_source),
            registry_view=registry_view,
            tokens_view=tokens_view,
            knowledge=Knowledge(registry_view, tokens_view),
        )
