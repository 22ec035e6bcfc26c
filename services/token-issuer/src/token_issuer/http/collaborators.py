"""What handlers may reach for."""

from collections.abc import Mapping

from aiohttp import web

from token_issuer.administration import Administration
from token_issuer.client_authentication import ClientAuthentication
from token_issuer.grants.client_credentials import ClientCredentialsGrant
from token_issuer.introspection import Introspection
from token_issuer.issuance import Issuance
from token_issuer.keyring import Keyring
from token_issuer.knowledge import Knowledge
from token_issuer.limits import RateLimit
from token_issuer.metadata import Metadata
from token_issuer.metrics import IssuerMetrics
from token_issuer.patience import Patience
from token_issuer.revocations import Revocations
from token_issuer.service_credentials import ServiceCredentials
from token_issuer.token_records import TokenRecords
from tollgate.clock import Clock
from tollgate.http.addresses import Network
from tollgate.http.metrics import RequestMetrics
from tollgate.messaging.feed import Feed
from tollgate.messaging.notifications import Notifications

administration = web.AppKey("administration", Administration)
clock = web.AppKey("clock", Clock)
clients = web.AppKey("clients", ClientAuthentication)
feed = web.AppKey("feed", Feed)
failures = web.AppKey("failures", RateLimit)
grants = web.AppKey("grants", Mapping[str, ClientCredentialsGrant])
introspection = web.AppKey("introspection", Introspection)
introspection_credentials = web.AppKey("introspection_credentials", ServiceCredentials)
issuance = web.AppKey("issuance", Issuance)
keyring = web.AppKey("keyring", Keyring)
knowledge = web.AppKey("knowledge", Knowledge)
metadata = web.AppKey("metadata", Metadata)
metrics = web.AppKey("metrics", IssuerMetrics)
notifications = web.AppKey("notifications", Notifications)
patience = web.AppKey("patience", Patience)
records = web.AppKey("records", TokenRecords)
requests = web.AppKey("requests", RequestMetrics)
revocations = web.AppKey("revocations", Revocations)
trusted_proxies = web.AppKey("trusted_proxies", tuple[Network, ...])
