"""Wires the service."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from app_registry.audit import Audit, IssuerLog, OwnLog
from app_registry.authentication import AppTokens, Authenticator
from app_registry.bootstrap import LOG
from app_registry.directory import Directory
from app_registry.handling import CommandHandler
from app_registry.http import (
    access_tokens,
    apps,
    audit,
    connections,
    keys,
    members,
    revocations,
    sources,
    workspace,
)
from app_registry.http import collaborators as reach
from app_registry.http.access import authenticate_requests, forbid_caching
from app_registry.http.problems import REFUSALS
from app_registry.settings import Settings
from app_registry.usage import UsageRecorder
from tollgate.background import running
from tollgate.clock import SystemClock
from tollgate.database import open_pool
from tollgate.eventlog import open_event_log
from tollgate.http.addresses import parse_networks
from tollgate.http.health import Health
from tollgate.http.metrics import count_requests, process_metrics
from tollgate.http.problems import problem_middleware
from tollgate.http.request_ids import name_requests
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed import PATH as FEED_PATH
from tollgate.messaging.feed import Feed
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.metrics import FeedMetrics, RelayMetrics, SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.push import Push
from tollgate.messaging.relay import Relay
from tollgate.messaging.source import LocalSource
from tollgate.messaging.subscription import Subscription
from tollgate.registry.source_types import types_with_oauth
from tollgate.tokens.state import TokensState

SERVICE = "app-registry"
REALM = "tollgate admin API"

MAX_BODY = 64 * 1024
"""Bytes of a request: the longest holds a public key, or some hundreds of sources."""

READY_AGE = 5.0
"""Seconds: who has not read their own log for longer answers nothing either."""

_feed = web.AppKey("feed", Feed)
_known = web.AppKey("known", Subscription[Directory])
_notifications = web.AppKey("notifications", Notifications)


def create_application(settings: Settings) -> web.Application:
    """The whole service. Nothing connects until aiohttp starts it."""
    metrics = process_metrics()
    application = web.Application(
        # From the outside in: each sees what those after it answer.
        middlewares=[
            name_requests,
            count_requests(metrics),
            forbid_caching,
            problem_middleware(REFUSALS, realm=REALM),
            authenticate_requests,
        ],
        client_max_size=MAX_BODY,
    )
    for resource in (
        access_tokens,
        apps,
        audit,
        connections,
        keys,
        members,
        revocations,
        sources,
        workspace,
    ):
        application.add_routes(resource.routes)
    health = Health(is_ready=lambda: _is_ready(application), metrics=metrics)
    application.add_routes(health.routes())
    application.router.add_get(FEED_PATH, _read_feed, name="feed", allow_head=False)

    application[reach.source_types] = types_with_oauth(settings.oauth_source_types)
    application[reach.trusted_proxies] = parse_networks(settings.trusted_proxies)
    application[reach.token_issuer_url] = settings.issuer_url

    async def run(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _open(application, settings, metrics, stack)
            yield

    application.cleanup_ctx.append(run)
    application.on_shutdown.append(_let_readers_go)
    return application


async def _open(
    application: web.Application,
    settings: Settings,
    metrics: CollectorRegistry,
    stack: AsyncExitStack,
) -> None:
    clock = SystemClock()
    url = settings.database_url.reveal()
    pool = await stack.enter_async_context(open_pool(url, application_name=SERVICE))
    log = await stack.enter_async_context(
        open_event_log(LOG, pool, url, application_name=SERVICE)
    )
    session = await stack.enter_async_context(aiohttp.ClientSession())
    notifications = Notifications(url, [LOG], application_name=SERVICE)
    source = LocalSource(log, notifications, max_age=settings.max_age)
    subscription_metrics = SubscriptionMetrics(metrics)
    known = Subscription(source, Directory, metrics=subscription_metrics)
    tokens = Subscription(
        _feed_of_issuer(
            settings, session, "tokens", instance=f"{SERVICE}-{secrets.token_hex(4)}"
        ),
        TokensState,
        metrics=subscription_metrics,
    )
    broker = Broker(settings.amqp_url, service=SERVICE)
    relay = Relay(log, url, notifications, broker, metrics=RelayMetrics(metrics))
    usage = UsageRecorder(log, known, clock)
    app_tokens = AppTokens(
        tokens,
        issuer=settings.token_issuer,
        audience=settings.public_api_audience,
        clock=clock,
    )
    application[_known] = known
    application[_notifications] = notifications
    application[_feed] = Feed(
        [source], settings.feed_readers, metrics=FeedMetrics(metrics)
    )
    application[reach.audit] = Audit(
        [
            OwnLog(log),
            *(
                # Without a name: what the audit looks at is applied by nobody.
                IssuerLog(_feed_of_issuer(settings, session, log_of_issuer))
                for log_of_issuer in ("tokens", "issuance")
            ),
        ]
    )
    application[reach.session] = session
    application[reach.authenticator] = Authenticator(known, app_tokens, usage, clock)
    application[reach.registry] = CommandHandler(
        log, known, types=application[reach.source_types], clock=clock
    )
    await stack.enter_async_context(
        running(
            notifications.run(),
            known.run(),
            relay.run(),
            tokens.run(),
            Push(broker, tokens).run(),
            usage.run(),
        )
    )


def _feed_of_issuer(
    settings: Settings,
    session: aiohttp.ClientSession,
    log: str,
    *,
    instance: str | None = None,
) -> FeedClient:
    return FeedClient(
        session,
        settings.issuer_url,
        log,
        secret=settings.issuer_feed_secret,
        whole=True,
        instance=instance,
    )


def _is_ready(application: web.Application) -> bool:
    known = application[_known]
    return known.ready and known.age() <= READY_AGE


async def _read_feed(request: web.Request) -> web.Response:
    return await request.app[_feed].read(request)


async def _let_readers_go(application: web.Application) -> None:
    """Whoever waits for news in a long poll is answered, so that the server can end."""
    application[_notifications].close()
