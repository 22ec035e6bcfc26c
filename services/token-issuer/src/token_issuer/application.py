"""Wires the service."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from token_issuer.access_tokens import TokenDrafts
from token_issuer.administration import Administration
from token_issuer.client_authentication import ClientAuthentication
from token_issuer.foundation import SERVICE, Foundation, open_foundation
from token_issuer.grants.client_credentials import GRANT_TYPE, ClientCredentialsGrant
from token_issuer.http import collaborators, discovery
from token_issuer.http.forms import form_endpoint
from token_issuer.http.introspection_endpoint import introspect
from token_issuer.http.oauth_responses import answer_errors_as_oauth
from token_issuer.http.problems import REFUSALS
from token_issuer.http.revocation_endpoint import revoke
from token_issuer.http.revocations import PATH as REVOCATIONS
from token_issuer.http.revocations import revoke_tokens
from token_issuer.http.status import status, status_of
from token_issuer.http.token_endpoint import token
from token_issuer.http.token_front import Surroundings, TokenFront
from token_issuer.introspection import Introspection
from token_issuer.issuance import Issuance
from token_issuer.key_keeper import KeyKeeper, ReadKeys
from token_issuer.key_life import Keys
from token_issuer.key_store import KeyStore
from token_issuer.keyring import Keyring
from token_issuer.limits import RateLimit
from token_issuer.metadata import JWKS, metadata_of
from token_issuer.metrics import IssuerMetrics
from token_issuer.patience import Patience
from token_issuer.pruning import prune_for_ever
from token_issuer.revocations import Revocations
from token_issuer.sealing import Sealer
from token_issuer.service_credentials import ServiceCredentials
from token_issuer.settings import Settings
from token_issuer.token_records import TokenRecords
from tollgate.background import Loop, running
from tollgate.clock import Clock, SystemClock
from tollgate.errors import Unavailable
from tollgate.http.front import FRONT
from tollgate.http.health import Health
from tollgate.http.metrics import RequestMetrics, process_metrics
from tollgate.http.problems import problem_middleware
from tollgate.http.request_ids import name_requests
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed import PATH as FEED
from tollgate.messaging.feed import Feed
from tollgate.messaging.metrics import FeedMetrics, RelayMetrics
from tollgate.messaging.push import Push
from tollgate.messaging.relay import Relay
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.forms import MAX_LENGTH
from tollgate.projections.snapshot import SnapshotFile
from tollgate.tokens.state import TokensState

TEND_KEYS_EVERY = timedelta(seconds=5)


def create_application(
    settings: Settings, *, clock: Clock | None = None
) -> web.Application:
    """What answers requests. Nothing connects until aiohttp starts it."""
    registry = process_metrics()
    requests = RequestMetrics(registry)
    application = web.Application(
        middlewares=[name_requests, requests.middleware(), _answer_errors],
        client_max_size=MAX_LENGTH,
        # Nothing here takes a content coding, so nothing is inflated.
        handler_args={"auto_decompress": False},
    )
    application[collaborators.clock] = clock or SystemClock()
    application[collaborators.metrics] = IssuerMetrics(registry)
    application[collaborators.requests] = requests
    application[collaborators.trusted_proxies] = settings.proxies
    application.cleanup_ctx.append(_Lifetime(settings, registry).run)
    application.on_shutdown.append(_let_waiting_readers_go)
    application.on_response_prepare.append(_say_nothing_of_the_server)
    path = _path_of(settings)
    issue = form_endpoint("token", token, records=True)
    application.add_routes(
        [
            *(web.post(each, issue) for each in _token_paths(settings)),
            web.post(f"{path}/revoke", form_endpoint("revoke", revoke)),
            web.post(f"{path}/introspect", form_endpoint("introspect", introspect)),
            web.get(
                discovery.metadata_path(settings.issuer),
                discovery.authorization_server,
            ),
            web.get(f"{path}{JWKS}", discovery.jwks),
            web.post(REVOCATIONS, revoke_tokens),
            web.get(FEED, _read_feed, allow_head=False),
            web.get("/status", status),
            *Health(lambda: status_of(application).ready, registry).routes(),
        ]
    )
    return application


def _path_of(settings: Settings) -> str:
    return urlsplit(settings.issuer).path


def _token_paths(settings: Settings) -> tuple[str, ...]:
    path = _path_of(settings)
    # Segment's Node.js SDK keeps the slash that its settings recommend.
    return (f"{path}/token", f"{path}//token")


class _Lifetime:
    """What lives as long as the application runs."""

    def __init__(self, settings: Settings, metrics: CollectorRegistry) -> None:
        self._settings = settings
        self._metrics = metrics

    async def run(self, application: web.Application) -> AsyncIterator[None]:
        """Give the handlers what they need, and keep it up to date beside them."""
        async with open_foundation(self._settings, self._metrics) as foundation:
            store = KeyStore(foundation.pool)
            keyring = Keyring(store, Sealer(self._settings.sealing_keys))
            keeper = KeyKeeper(
                log=foundation.tokens_log,
                store=store,
                keyring=keyring,
                read_keys=_reader_of_keys(foundation.tokens_view),
                policy=self._settings.key_policy,
                alg=Algorithm(self._settings.signing_alg),
            )
            self._provide(application, foundation, keyring)
            async with running(
                foundation.notifications.run(),
                foundation.knowledge.view.run(),
                keeper.run(TEND_KEYS_EVERY),
                prune_for_ever(foundation.pool),
                *self._messaging(foundation),
                *await self._snapshots(foundation),
            ):
                yield

    def _provide(
        self,
        application: web.Application,
        foundation: Foundation,
        keyring: Keyring,
    ) -> None:
        """The one place that knows which endpoint needs whom."""
        settings, knowledge = self._settings, foundation.knowledge
        clock = application[collaborators.clock]
        clients = ClientAuthentication(knowledge, issuer=settings.issuer)
        issuance = Issuance(foundation.issuance_log, knowledge)
        records = TokenRecords(foundation.tokens_log, issuer=settings.issuer)
        revocations = Revocations(foundation.tokens_log, records, clock)
        patience = Patience(settings.patience)
        grant = ClientCredentialsGrant(
            drafts=TokenDrafts(settings.issuer, settings.audiences),
            clients=clients,
            knowledge=knowledge,
            keyring=keyring,
            issuance=issuance,
            limit=RateLimit(settings.tokens_per_minute),
            clock=clock,
        )
        application[collaborators.clients] = clients
        application[collaborators.failures] = RateLimit(settings.failures_per_minute)
        application[collaborators.grants] = {GRANT_TYPE: grant}
        application[collaborators.issuance] = issuance
        application[collaborators.keyring] = keyring
        application[collaborators.knowledge] = knowledge
        application[collaborators.notifications] = foundation.notifications
        application[collaborators.patience] = patience
        application[collaborators.records] = records
        application[collaborators.revocations] = revocations
        application[collaborators.administration] = Administration(
            knowledge=knowledge,
            log=foundation.tokens_log,
            records=records,
            revocations=revocations,
            issuer=settings.issuer,
            audience=settings.public_api_audience,
            clock=clock,
        )
        application[collaborators.introspection] = Introspection(
            issuer=settings.issuer, records=records, knowledge=knowledge, clock=clock
        )
        application[collaborators.introspection_credentials] = ServiceCredentials(
            settings.introspection_secrets
        )
        application[collaborators.metadata] = metadata_of(
            settings.issuer,
            services_may_introspect=bool(settings.introspection_secrets),
        )
        application[collaborators.feed] = Feed(
            foundation.sources,
            settings.feed_readers,
            metrics=FeedMetrics(self._metrics),
        )
        metrics = application[collaborators.metrics]
        application[FRONT] = TokenFront(
            Surroundings(
                paths=_token_paths(settings),
                clock=clock,
                failures=application[collaborators.failures],
                grants=application[collaborators.grants],
                metrics=metrics,
                patience=patience,
                requests=application[collaborators.requests],
                trusted_proxies=settings.proxies,
            )
        )
        metrics.held.set_function(lambda: patience.held)
        metrics.can_sign.set_function(
            lambda: keyring.can_sign(knowledge.tokens.signing_keys)
        )

    def _messaging(self, foundation: Foundation) -> list[Loop]:
        """What the broker makes fast: hearing of the registry, telling of tokens."""
        broker = Broker(self._settings.amqp_url, service=SERVICE)
        metrics = RelayMetrics(self._metrics)
        published = [foundation.tokens_log]
        if self._settings.publish_issuance:
            published.append(foundation.issuance_log)
        relays = [
            Relay(
                log,
                self._settings.database_url.reveal(),
                foundation.notifications,
                broker,
                metrics=metrics,
            )
            for log in published
        ]
        return [
            Push(broker, foundation.registry_view).run(),
            *(relay.run() for relay in relays),
        ]

    async def _snapshots(self, foundation: Foundation) -> list[Loop]:
        """Start from what was known, and keep it for the next start."""
        path = self._settings.snapshot_path
        if path is None:
            return []
        snapshot = SnapshotFile(path, [foundation.registry_view])
        await snapshot.restore()
        return [snapshot.run()]


def _reader_of_keys(tokens: Subscription[TokensState]) -> ReadKeys:
    async def read() -> Keys:
        try:
            await tokens.refresh(timedelta(seconds=2))
        except NotLevel as error:
            raise Unavailable("the tokens log cannot be read") from error
        return tokens.state.signing_keys

    return read


_answer_errors_as_problems = problem_middleware(REFUSALS, realm=SERVICE)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The admin API answers with problems, everything else as RFC 6749 has it."""
    answer = (
        _answer_errors_as_problems
        if request.path.startswith("/v1/")
        else answer_errors_as_oauth
    )
    return await answer(request, handler)


async def _read_feed(request: web.Request) -> web.Response:
    return await request.app[collaborators.feed].read(request)


async def _let_waiting_readers_go(application: web.Application) -> None:
    application[collaborators.notifications].close()


async def _say_nothing_of_the_server(
    _request: web.Request, response: web.StreamResponse
) -> None:
    """Which versions run here is of use to attackers only."""
    response.headers.pop("Server", None)
