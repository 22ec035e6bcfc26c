"""Several processes of the issuer over one database behave as one."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from local_stack.databases import Database
from token_issuer.settings import Settings
from token_issuer.testing.issuer import IssuerUnderTest, serving
from token_issuer.testing.registry import DAY, RegisteredApp, RegistryStandIn
from tollgate.database import Pool, connect
from tollgate.eventlog import EventLog
from tollgate.oauth.access_tokens import VerifiedAccessToken, verify_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jwks import parse_jwk_set
from tollgate.oauth.jws import decode
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import client_assertion


async def test_an_assertion_shown_to_all_replicas_at_once_works_once(
    settings: Settings, app: RegisteredApp, issuance_log: EventLog
) -> None:
    async with serving(settings) as a, serving(settings) as b, serving(settings) as c:
        rounds = 15
        for _ in range(rounds):
            form = a.token_form(app)

            answers = await asyncio.gather(
                *(issuer.post_form("/token", form) for issuer in (a, b, c) * 4)
            )

            statuses = Counter(answer.status for answer in answers)
            assert statuses == {200: 1, 401: 11}
            for answer in answers:
                if answer.status == 401:
                    assert answer.json["error"] == "invalid_client"
        recorded = await issuance_log.load(f"oauth_app-{app.id}")
        assert len(recorded) == rounds


async def test_an_assertion_is_used_up_over_a_restart(
    settings: Settings, app: RegisteredApp
) -> None:
    async with serving(settings) as before:
        form = before.token_form(app)
        assert (await before.post_form("/token", form)).status == 200

    async with serving(settings) as after:
        replayed = await after.post_form("/token", form)

        assert replayed.status == 401
        assert replayed.json["error"] == "invalid_client"


class SetClock:
    """So many seconds off the right time."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def seconds(self) -> float:
        return self.now().timestamp()


@pytest.mark.parametrize("offset", [60, -60, 3600, -3600])
async def test_a_replica_with_a_wrong_clock_forgets_no_assertion_early(
    settings: Settings, app: RegisteredApp, pool: Pool, offset: int
) -> None:
    """It goes by its own clock, and spends for all; also when its clock is set back."""
    clock = SetClock(offset)
    async with serving(settings, clock=clock) as wrong, serving(settings) as right:
        form = wrong.token_form(app, now=clock.now().timestamp())
        given = await wrong.post_form("/token", form)
        assert given.status == 200
        assert given.json["expires_in"] == DAY
        claims = msgspec.json.decode(decode(given.json["access_token"]).payload)
        assert claims["iat"] == pytest.approx(clock.now().timestamp(), abs=30)
        assert await pool.fetchval("SELECT issuance.prune_spent_jtis()") == 0
        for step in (0, -5):
            clock.offset += step
            replayed = await wrong.post_form("/token", form)
            assert (replayed.status, replayed.json["error"]) == (401, "invalid_client")
        assert (await right.post_form("/token", form)).status in {400, 401}
        assert (await right.ask_for_token(app)).status == 200


async def test_one_jti_of_two_apps_are_two(
    settings: Settings, two_apps: tuple[RegisteredApp, RegisteredApp]
) -> None:
    """The sample script takes small random numbers: they collide between apps."""
    async with serving(settings) as issuer:
        for app in two_apps:
            form = issuer.token_form(app, jti="17")
            assert (await issuer.post_form("/token", form)).status == 200


async def test_a_forged_assertion_uses_up_nothing(
    issuer: IssuerUnderTest, app: RegisteredApp, pool: Pool
) -> None:
    """Whoever guesses a `jti` must not be able to lock its owner out."""
    genuine = issuer.token_form(app, jti="the-one")
    forger = signing_key(Algorithm.RS256, 9)
    forged = client_assertion(
        forger,
        client_id=app.id,
        issuer=issuer.name,
        now=0,
        jti="the-one",
    )
    mutated = genuine["client_assertion"][:-12] + "A" * 12

    for assertion in (forged, mutated):
        answer = await issuer.post_form(
            "/token", {**genuine, "client_assertion": assertion}
        )
        assert answer.status == 401

    assert await pool.fetchval("SELECT count(*) FROM issuance.spent_jtis") == 0
    assert (await issuer.post_form("/token", genuine)).status == 200


async def test_a_refused_request_uses_up_nothing(
    issuer: IssuerUnderTest, app: RegisteredApp, pool: Pool
) -> None:
    expired = issuer.token_form(app, now=1_000_000_000)
    bad_scope = {**issuer.token_form(app), "scope": "unknown"}

    for form in (expired, bad_scope):
        assert (await issuer.post_form("/token", form)).status == 400

    assert await pool.fetchval("SELECT count(*) FROM issuance.spent_jtis") == 0


async def test_replicas_that_start_together_sign_with_one_key(
    settings: Settings, app: RegisteredApp
) -> None:
    async with serving(settings) as a, serving(settings) as b:
        tokens = [await issuer.token_of(app) for issuer in (a, b)]
        key_sets = [await each.get("/.well-known/jwks.json") for each in (a, b)]

        assert len({decode(token).header.kid for token in tokens}) == 1
        assert {key["kid"] for key in key_sets[0].json["keys"]} == {
            key["kid"] for key in key_sets[1].json["keys"]
        }
        assert len(key_sets[0].json["keys"]) == 2


async def test_what_one_replica_revokes_the_other_knows_at_once(
    settings: Settings, app: RegisteredApp
) -> None:
    async with serving(settings) as a, serving(settings) as b:
        token = await a.token_of(app)
        assert (await b.introspect(app, token)).json["active"] is True

        assert (await a.revoke(app, token)).status == 200

        assert (await b.introspect(app, token)).json == {"active": False}


async def test_spent_assertions_are_forgotten_once_they_are_of_no_use(
    issuer: IssuerUnderTest,
    app: RegisteredApp,
    issuer_database: Database,
    pool: Pool,
) -> None:
    """By the log's time, and hours later: a replica's clock may be wrong."""
    await issuer.token_of(app)
    remembered = await pool.fetchrow(
        """
        SELECT expires_at - clock_timestamp() > interval '1 hour' AS long
        FROM issuance.spent_jtis
        """
    )
    assert remembered is not None
    assert remembered["long"]

    owner = await connect(issuer_database.owner_url, application_name="tests")
    await owner.execute(
        "UPDATE issuance.spent_jtis SET expires_at = expires_at - interval '5 hours'"
    )
    await owner.close()

    assert await pool.fetchval("SELECT issuance.prune_spent_jtis()") == 1


async def test_which_command_made_a_token_is_forgotten_after_hours(
    issuer: IssuerUnderTest,
    app: RegisteredApp,
    issuer_database: Database,
    pool: Pool,
) -> None:
    """It is of use while an answer of the log may be lost, and there is one a token."""
    prune = "SELECT issuance.prune_commands()"
    await issuer.token_of(app)
    assert await pool.fetchval(prune) == 0
    owner = await connect(issuer_database.owner_url, application_name="tests")
    await owner.execute(
        """
        UPDATE issuance.checkpoints
        SET position = 1, moved_at = moved_at - interval '2 hours'
        WHERE subscriber = 'prune_commands'
        """
    )
    await owner.close()
    await issuer.token_of(app)

    assert await pool.fetchval(prune) == 1
    assert await pool.fetchval(prune) == 0
    assert await pool.fetchval("SELECT count(*) FROM issuance.commands") == 1
    assert await pool.fetchval("SELECT count(*) FROM issuance.events") == 2


@pytest.fixture
async def two_apps(
    registry: RegistryStandIn,
) -> tuple[RegisteredApp, RegisteredApp]:
    return await registry.add_app(), await registry.add_app()


async def test_rs256_can_be_chosen(settings: Settings, app: RegisteredApp) -> None:
    settings = msgspec.structs.replace(settings, signing_alg="RS256")
    async with serving(settings) as issuer:
        token = await issuer.token_of(app)

        document = (await issuer.get("/.well-known/jwks.json")).body
        assert decode(token).header.alg == "RS256"
        assert isinstance(
            verify_access_token(
                token,
                keys=parse_jwk_set(document),
                issuer=issuer.name,
                audiences={"urn:tollgate:tracking-api"},
            ),
            VerifiedAccessToken,
        )
        for key in msgspec.json.decode(document)["keys"]:
            assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}
        assert (await issuer.introspect(app, token)).json["active"] is True
