"""When a signing key is announced, signs, is retired, or is compromised."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from token_issuer.key_life import (
    Announce,
    Change,
    KeyPolicy,
    Keys,
    RotationRefused,
    active_key,
    compromise,
    next_step,
    published_keys,
    rotate,
)
from tollgate.events.tokens import (
    SigningKeyActivated,
    SigningKeyCompromised,
    SigningKeyRetired,
)
from tollgate.tokens.state import SigningKey, SigningKeyStatus

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEAD = timedelta(minutes=6)
INTERVAL = timedelta(days=90)
TAIL = timedelta(days=31)
POLICY = KeyPolicy(rotation_interval=INTERVAL, lead=LEAD, tail=TAIL)
MOMENT = timedelta(microseconds=1)


def keys(*each: SigningKey) -> Keys:
    return {key.kid: key for key in each}


ACTIVE = SigningKey(
    kid="active",
    alg="ES256",
    pem="PEM",
    version=2,
    announced_at=START,
    status=SigningKeyStatus.ACTIVE,
    activated_at=START,
)
SUCCESSOR = SigningKey(
    kid="next", alg="ES256", pem="PEM", version=1, announced_at=START
)
RETIRED = replace(
    ACTIVE,
    kid="old",
    version=3,
    status=SigningKeyStatus.RETIRED,
    last_expiry=START + TAIL,
)
COMPROMISED = replace(ACTIVE, kid="bad", version=3, status=SigningKeyStatus.COMPROMISED)


class TestNextStep:
    def test_the_first_key_of_an_empty_log_signs_at_once(self) -> None:
        step = next_step({}, START, POLICY)

        assert step == Announce(1)
        assert step.signs_at_once

    def test_a_successor_is_announced_beside_the_active_key(self) -> None:
        step = next_step(keys(ACTIVE), START, POLICY)

        assert step == Announce(2)
        assert not step.signs_at_once

    def test_then_nothing_is_due_until_the_interval_is_over(self) -> None:
        held = keys(ACTIVE, SUCCESSOR)

        assert next_step(held, START, POLICY) is None
        assert next_step(held, START + INTERVAL - MOMENT, POLICY) is None

    def test_the_successor_replaces_an_active_key_of_that_age(self) -> None:
        now = START + INTERVAL

        assert next_step(keys(ACTIVE, SUCCESSOR), now, POLICY) == Change(
            events=[
                ("signing_key-next", SigningKeyActivated()),
                ("signing_key-active", SigningKeyRetired(last_expiry=now + TAIL)),
            ],
            expected={"signing_key-next": 1, "signing_key-active": 2},
        )

    def test_a_successor_never_signs_before_its_lead(self) -> None:
        """However old the active key is: verifiers may not know the next one yet."""
        now = START + 2 * INTERVAL
        late = replace(SUCCESSOR, announced_at=now - LEAD + MOMENT)

        assert next_step(keys(ACTIVE, late), now, POLICY) is None
        assert next_step(keys(ACTIVE, late), now + MOMENT, POLICY) is not None

    def test_without_an_active_key_the_successor_signs_when_it_is_ripe(self) -> None:
        held = keys(COMPROMISED, SUCCESSOR)

        assert next_step(held, START + LEAD - MOMENT, POLICY) is None
        assert next_step(held, START + LEAD, POLICY) == Change(
            events=[("signing_key-next", SigningKeyActivated())],
            expected={"signing_key-next": 1},
        )

    def test_a_key_after_the_first_does_not_sign_at_once_even_if_none_does(
        self,
    ) -> None:
        step = next_step(keys(COMPROMISED), START, POLICY)

        assert step == Announce(2)
        assert not step.signs_at_once

    def test_replicas_that_see_the_same_log_announce_the_same_number(self) -> None:
        """It makes the command id, so that the log takes one of their keys."""
        held = keys(RETIRED, ACTIVE)

        assert next_step(held, START, POLICY) == Announce(3)


class TestRotate:
    def test_a_young_key_is_replaced_when_asked(self) -> None:
        now = START + LEAD

        change = rotate(keys(ACTIVE, SUCCESSOR), now, POLICY)

        assert change.events == [
            ("signing_key-next", SigningKeyActivated()),
            ("signing_key-active", SigningKeyRetired(last_expiry=now + TAIL)),
        ]

    def test_not_before_the_successor_is_ripe(self) -> None:
        with pytest.raises(RotationRefused, match="2026-01-01T12:06:00"):
            rotate(keys(ACTIVE, SUCCESSOR), START, POLICY)

    def test_not_without_a_successor(self) -> None:
        with pytest.raises(RotationRefused):
            rotate(keys(ACTIVE), START + INTERVAL, POLICY)


class TestCompromise:
    def test_the_successor_takes_over_in_the_same_append(self) -> None:
        change = compromise(keys(ACTIVE, SUCCESSOR), "active", START + LEAD, POLICY)

        assert change == Change(
            events=[
                ("signing_key-active", SigningKeyCompromised()),
                ("signing_key-next", SigningKeyActivated()),
            ],
            expected={"signing_key-active": 2, "signing_key-next": 1},
        )

    def test_an_unripe_successor_waits_and_the_bad_key_ends_all_the_same(self) -> None:
        change = compromise(keys(ACTIVE, SUCCESSOR), "active", START, POLICY)

        assert change.events == [("signing_key-active", SigningKeyCompromised())]

    @pytest.mark.parametrize("key", [SUCCESSOR, RETIRED])
    def test_a_key_that_does_not_sign_ends_without_a_rotation(
        self, key: SigningKey
    ) -> None:
        held = keys(ACTIVE, SUCCESSOR, RETIRED)

        change = compromise(held, key.kid, START + LEAD, POLICY)

        assert change.events == [(f"signing_key-{key.kid}", SigningKeyCompromised())]

    @pytest.mark.parametrize("kid", ["unknown", "bad"])
    def test_an_unknown_or_ended_key_is_refused(self, kid: str) -> None:
        with pytest.raises(RotationRefused):
            compromise(keys(ACTIVE, COMPROMISED), kid, START, POLICY)


class TestPublishedKeys:
    def test_whatever_may_verify_a_token_is_published(self) -> None:
        held = keys(RETIRED, ACTIVE, SUCCESSOR, COMPROMISED)

        assert published_keys(held, START + TAIL - MOMENT) == [
            RETIRED,
            ACTIVE,
            SUCCESSOR,
        ]

    def test_a_retired_key_goes_with_its_last_token(self) -> None:
        assert published_keys(keys(RETIRED, ACTIVE), START + TAIL) == [ACTIVE]


def test_only_an_active_key_signs() -> None:
    assert active_key(keys(RETIRED, SUCCESSOR, ACTIVE)) == ACTIVE
    assert active_key(keys(RETIRED, SUCCESSOR, COMPROMISED)) is None
