"""Signing keys on a real log: made once, sealed, replaced, ended."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from local_stack.databases import Database
from token_issuer.key_keeper import KeyKeeper
from token_issuer.key_life import KeyPolicy, Keys, RotationRefused, active_key
from token_issuer.key_store import KeyStore
from token_issuer.keyring import CannotSign, Keyring
from token_issuer.sealing import Sealer
from tollgate.database import Pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.oauth.algorithms import Algorithm
from tollgate.tokens.state import SigningKeyStatus, TokensState

ReadKeys = Callable[[], Awaitable[Keys]]


class Replica:
    """One process of the issuer, as far as its keys go."""

    def __init__(
        self,
        log: EventLog,
        pool: Pool,
        *key_encryption_keys: bytes,
        lead: timedelta = timedelta(0),
        rotation_interval: timedelta = timedelta(days=90),
        alg: Algorithm = Algorithm.ES256,
    ) -> None:
        self._log = log
        self.store = KeyStore(pool)
        self.keyring = Keyring(self.store, Sealer(key_encryption_keys))
        self.keeper = KeyKeeper(
            log=log,
            store=self.store,
            keyring=self.keyring,
            read_keys=self.keys,
            policy=KeyPolicy(
                rotation_interval=rotation_interval,
                lead=lead,
                tail=timedelta(days=31),
            ),
            alg=alg,
        )

    async def keys(self) -> Keys:
        """All that the log says of keys, read anew."""
        state = TokensState()
        async for page in self._log.pages():
            for recorded in page:
                state.apply(recorded)
        return state.signing_keys

    async def statuses(self) -> list[SigningKeyStatus]:
        keys = (await self.keys()).values()
        return [key.status for key in sorted(keys, key=lambda key: key.announced_at)]


async def test_an_empty_log_gets_a_key_that_signs_and_a_successor(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    replica = Replica(tokens_log, pool, key_encryption_key, lead=timedelta(minutes=6))

    await replica.keeper.tend()

    assert await replica.statuses() == [
        SigningKeyStatus.ACTIVE,
        SigningKeyStatus.ANNOUNCED,
    ]
    keys = await replica.keys()
    signing = replica.keyring.signing_key(keys)
    active = active_key(keys)
    assert active is not None
    assert (active.kid, active.alg, active.pem) == (
        signing.kid,
        signing.public.alg,
        signing.public.pem,
    )
    assert signing.public.has_signed(signing.sign(b"message"), b"message")


@pytest.mark.parametrize("alg", [Algorithm.ES256, Algorithm.RS256])
async def test_a_restarted_replica_signs_with_the_key_there_is(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes, alg: Algorithm
) -> None:
    first = Replica(tokens_log, pool, key_encryption_key, alg=alg)
    await first.keeper.tend()
    again = Replica(tokens_log, pool, key_encryption_key, alg=alg)

    await again.keeper.tend()

    keys = await again.keys()
    assert again.keyring.signing_key(keys).public == (
        first.keyring.signing_key(keys).public
    )
    assert again.keyring.signing_key(keys).public.alg is alg


async def test_replicas_that_start_at_once_make_one_key(
    issuer_database: Database, pool: Pool, key_encryption_key: bytes
) -> None:
    """And the private halves of the others are destroyed."""
    url = issuer_database.service_url
    async with (
        open_event_log("tokens", pool, url) as one,
        open_event_log("tokens", pool, url) as two,
        open_event_log("tokens", pool, url) as three,
    ):
        replicas = [
            Replica(log, pool, key_encryption_key, lead=timedelta(minutes=6))
            for log in (one, two, three)
        ]

        await asyncio.gather(*(replica.keeper.tend() for replica in replicas))

        keys = await replicas[0].keys()
        assert await replicas[0].statuses() == [
            SigningKeyStatus.ACTIVE,
            SigningKeyStatus.ANNOUNCED,
        ]
        assert {each.kid for each in await replicas[0].store.read_all()} == set(keys)
        signing = {replica.keyring.signing_key(keys).kid for replica in replicas}
        assert len(signing) == 1


async def test_a_key_whose_time_is_over_is_replaced_and_destroyed(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    before = Replica(tokens_log, pool, key_encryption_key)
    await before.keeper.tend()
    old = before.keyring.signing_key(await before.keys())
    replica = Replica(
        tokens_log, pool, key_encryption_key, rotation_interval=timedelta(0)
    )

    await replica.keeper.tend()

    keys = await replica.keys()
    assert keys[old.kid].status is SigningKeyStatus.RETIRED
    assert replica.keyring.signing_key(keys).kid != old.kid
    assert old.kid not in {each.kid for each in await replica.store.read_all()}


async def test_a_compromised_key_signs_no_more_and_its_successor_does(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    replica = Replica(tokens_log, pool, key_encryption_key)
    await replica.keeper.tend()
    bad = replica.keyring.signing_key(await replica.keys())

    await replica.keeper.compromise(bad.kid)
    await replica.keeper.tend()

    keys = await replica.keys()
    assert keys[bad.kid].status is SigningKeyStatus.COMPROMISED
    assert replica.keyring.signing_key(keys).kid != bad.kid
    assert await replica.statuses() == [
        SigningKeyStatus.COMPROMISED,
        SigningKeyStatus.ACTIVE,
        SigningKeyStatus.ANNOUNCED,
    ]


async def test_nothing_signs_while_the_successor_of_a_bad_key_is_not_known_to_all(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    replica = Replica(tokens_log, pool, key_encryption_key, lead=timedelta(minutes=6))
    await replica.keeper.tend()
    bad = replica.keyring.signing_key(await replica.keys())

    await replica.keeper.compromise(bad.kid)
    await replica.keeper.tend()

    with pytest.raises(CannotSign):
        replica.keyring.signing_key(await replica.keys())


async def test_rotation_by_hand_waits_for_the_lead(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    replica = Replica(tokens_log, pool, key_encryption_key, lead=timedelta(minutes=6))
    await replica.keeper.tend()

    with pytest.raises(RotationRefused):
        await replica.keeper.rotate()


async def test_rotation_by_hand(
    tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
) -> None:
    replica = Replica(tokens_log, pool, key_encryption_key)
    await replica.keeper.tend()
    old = replica.keyring.signing_key(await replica.keys())

    await replica.keeper.rotate()

    keys = await replica.keys()
    assert keys[old.kid].status is SigningKeyStatus.RETIRED
    assert replica.keyring.signing_key(keys).kid != old.kid


class TestPrivateHalves:
    async def test_one_that_is_lost_stops_all_signing(
        self,
        tokens_log: EventLog,
        pool: Pool,
        key_encryption_key: bytes,
    ) -> None:
        """A new key in its place would hide a loss that somebody must look at."""
        first = Replica(tokens_log, pool, key_encryption_key)
        await first.keeper.tend()
        keys = await first.keys()
        await first.store.forget(first.keyring.signing_key(keys).kid)
        again = Replica(tokens_log, pool, key_encryption_key)

        await again.keeper.tend()

        assert await again.keys() == keys
        with pytest.raises(CannotSign, match="not at hand"):
            again.keyring.signing_key(keys)

    async def test_one_that_does_not_open_stops_all_signing(
        self, tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
    ) -> None:
        first = Replica(tokens_log, pool, key_encryption_key)
        await first.keeper.tend()
        stranger = Replica(tokens_log, pool, os.urandom(32))

        await stranger.keeper.tend()

        with pytest.raises(CannotSign):
            stranger.keyring.signing_key(await stranger.keys())
        assert len(await first.keys()) == 2

    async def test_they_are_sealed_again_when_the_key_encryption_key_changes(
        self, tokens_log: EventLog, pool: Pool, key_encryption_key: bytes
    ) -> None:
        new = os.urandom(32)
        before = Replica(tokens_log, pool, key_encryption_key)
        await before.keeper.tend()
        keys = await before.keys()

        await Replica(tokens_log, pool, new, key_encryption_key).keeper.tend()

        after = Replica(tokens_log, pool, new)
        await after.keeper.tend()
        assert after.keyring.signing_key(keys).kid == (
            before.keyring.signing_key(keys).kid
        )

    async def test_one_put_in_the_place_of_another_is_not_used(
        self,
        tokens_log: EventLog,
        pool: Pool,
        key_encryption_key: bytes,
        issuer_database: Database,
    ) -> None:
        first = Replica(tokens_log, pool, key_encryption_key)
        await first.keeper.tend()
        keys = await first.keys()
        signing = first.keyring.signing_key(keys).kid
        owner = await asyncpg.connect(issuer_database.owner_url)
        await owner.execute(
            """
            UPDATE keys.private_keys SET box = other.box
            FROM keys.private_keys AS other
            WHERE private_keys.kid = $1 AND other.kid <> $1
            """,
            signing,
        )
        await owner.close()
        again = Replica(tokens_log, pool, key_encryption_key)

        await again.keeper.tend()

        with pytest.raises(CannotSign):
            again.keyring.signing_key(keys)

    async def test_the_service_cannot_write_the_table_itself(self, pool: Pool) -> None:
        for statement in (
            "INSERT INTO keys.private_keys VALUES ('k', 's', 'b')",
            "UPDATE keys.private_keys SET box = 'b'",
            "DELETE FROM keys.private_keys",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
