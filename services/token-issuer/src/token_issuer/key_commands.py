"""A keeper of the signing keys for one command, beside the services that run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from token_issuer.key_keeper import KeyKeeper
from token_issuer.key_life import Keys
from token_issuer.key_store import KeyStore
from token_issuer.keyring import Keyring
from token_issuer.sealing import Sealer
from token_issuer.settings import Settings
from tollgate.database import open_pool
from tollgate.errors import Unavailable
from tollgate.eventlog import EventLog, LogUnavailable, open_event_log
from tollgate.events import UnreadableEvent
from tollgate.oauth.algorithms import Algorithm
from tollgate.tokens.state import TokensState


@asynccontextmanager
async def opened_keeper(settings: Settings) -> AsyncIterator[KeyKeeper]:
    """One that reads the whole log for every decision."""
    url = settings.database_url.reveal()
    async with (
        open_pool(url, application_name="token-issuer keys") as pool,
        open_event_log("tokens", pool, url) as log,
    ):
        store = KeyStore(pool)
        yield KeyKeeper(
            log=log,
            store=store,
            keyring=Keyring(store, Sealer(settings.sealing_keys)),
            read_keys=lambda: _read_keys(log),
            policy=settings.key_policy,
            alg=Algorithm(settings.signing_alg),
        )


async def _read_keys(log: EventLog) -> Keys:
    state = TokensState()
    try:
        await log.replay(state)
    except (LogUnavailable, UnreadableEvent) as error:
        raise Unavailable("the tokens log cannot be read") from error
    return state.signing_keys
