"""Settings that cannot be used stop the start with one line."""

import base64

import pytest

from token_issuer.settings import PREFIX, Settings
from tollgate.oauth.scopes import Scope
from tollgate.settings import WrongSettings, load_settings

KEY = base64.b64encode(bytes(range(32))).decode()
ENVIRONMENT = {
    "ISSUER": "https://issuer.example",
    "DATABASE_URL": "postgresql://service:pw@db/token_issuer",
    "AMQP_URL": "amqp://issuer:pw@broker/",
    "REGISTRY_URL": "https://registry.internal",
    "REGISTRY_FEED_SECRET": "a-secret-of-the-feed",
    "KEY_ENCRYPTION_KEYS": KEY,
}


def loaded(**changes: str) -> Settings:
    environment = {
        f"{PREFIX}_{name}": value for name, value in {**ENVIRONMENT, **changes}.items()
    }
    return load_settings(Settings, environment, PREFIX)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://issuer.example",
        "https://issuer.example:8443/oauth",
        "http://127.0.0.1:8082",
        "http://localhost:8082",
        "http://[::1]:8082/oauth",
    ],
)
def test_an_issuer_is_a_url(issuer: str) -> None:
    assert loaded(ISSUER=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://issuer.example",
        "https://issuer.example/",
        "https://issuer.example?x=1",
        "https://issuer.example#x",
        "https://user@issuer.example",
        "https://",
        "issuer.example",
        "https://issüer.example",
    ],
)
def test_an_unfit_issuer_is_refused(issuer: str) -> None:
    """RFC 8414 §2: https, no query, no fragment; ours has no slash at the end."""
    with pytest.raises(WrongSettings, match="issuer must"):
        loaded(ISSUER=issuer)


@pytest.mark.parametrize("key", ["short", KEY[:-4], f"{KEY},rubbish", "!" * 44])
def test_an_unfit_key_encryption_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(WrongSettings, match="32 bytes in base64") as refusal:
        loaded(KEY_ENCRYPTION_KEYS=key)

    assert key not in str(refusal.value)


def test_the_first_key_encryption_key_is_the_one_that_seals() -> None:
    other = base64.b64encode(bytes(32)).decode()

    assert loaded(KEY_ENCRYPTION_KEYS=f"{KEY},{other}").sealing_keys == [
        bytes(range(32)),
        bytes(32),
    ]


def test_a_key_is_announced_for_longer_than_a_view_may_be_old() -> None:
    """Else a verifier that is just not too old would meet a key it cannot know."""
    settings = loaded(MAX_AGE="10m")

    assert settings.key_policy.lead > settings.max_age


def test_each_scope_has_the_audience_that_is_set() -> None:
    settings = loaded(FUNCTIONS_AUDIENCE="https://functions.example")

    assert settings.audiences == {
        Scope.TRACKING_API_WRITE: "urn:tollgate:tracking-api",
        Scope.FUNCTIONS_WRITE: "https://functions.example",
        Scope.PUBLIC_API_READ_WRITE: "urn:tollgate:public-api",
    }
