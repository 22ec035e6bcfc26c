"""Settings are typed or refused in one line that names the variable."""

import enum
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from tollgate.settings import Secret, WrongSettings, load_settings, settings_table

TEXT = "hunter2-very-secret"


class Algorithm(enum.StrEnum):
    ES256 = "ES256"
    RS256 = "RS256"


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    secret: Secret


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Annotated[Secret, Meta(description="where the log is")]
    port: Annotated[int, Meta(ge=1, le=65535, description="to listen on")] = 8080
    poll: Annotated[timedelta, Meta(description="between polls")] = timedelta(seconds=1)
    snapshot: Annotated[Path | None, Meta(description="file to start from")] = None
    tls: Annotated[bool, Meta(description="whether to encrypt")] = False
    alg: Annotated[Algorithm, Meta(description="signs tokens")] = Algorithm.ES256
    mode: Annotated[Literal["none", "bearer"], Meta(description="upstream")] = "none"
    keys: Annotated[tuple[Secret, ...], Meta(description="newest first")] = ()
    ports: Annotated[tuple[int, ...], Meta(description="more ports")] = (1, 2)
    credentials: Annotated[
        tuple[Credential, ...], Meta(description="who may read the feed")
    ] = ()


def load(**variables: str) -> Settings:
    environ = {"APP_DATABASE_URL": "postgresql://x", "OTHER": "1", **variables}
    return load_settings(Settings, environ, prefix="APP")


def refusal_of(**variables: str) -> str:
    with pytest.raises(WrongSettings) as caught:
        load(**variables)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestTypes:
    def test_what_is_not_set_has_its_default(self) -> None:
        assert load() == Settings(database_url=Secret("postgresql://x"))
        assert load(APP_PORT="") == load()

    def test_each_type_is_read(self) -> None:
        settings = load(
            APP_PORT="99",
            APP_SNAPSHOT="/var/snapshot",
            APP_TLS="Yes",
            APP_ALG="RS256",
            APP_MODE="bearer",
            APP_KEYS="one, two",
            APP_PORTS="3,4",
            APP_CREDENTIALS='[{"name":"gateway","secret":"s"}]',
        )
        assert settings.port == 99
        assert settings.snapshot == Path("/var/snapshot")
        assert settings.tls is True
        assert settings.alg is Algorithm.RS256
        assert settings.mode == "bearer"
        assert settings.keys == (Secret("one"), Secret("two"))
        assert settings.ports == (3, 4)
        assert settings.credentials == (Credential("gateway", Secret("s")),)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0.5", 0.5), ("90", 90), ("250ms", 0.25), ("30 s", 30), ("5m", 300)],
    )
    def test_durations_have_units(self, text: str, seconds: float) -> None:
        assert load(APP_POLL=text).poll == timedelta(seconds=seconds)


class TestRefusals:
    @pytest.mark.parametrize(
        ("variable", "text"),
        [("APP_PORT", word) for word in ("0", "65536", "http", "1.5", "8080\n9")]
        + [("APP_POLL", word) for word in ("-1", "5 minutes", "1e3", "٣", "s")]
        + [("APP_TLS", "maybe"), ("APP_ALG", "none"), ("APP_MODE", "BEARER")]
        + [("APP_PORTS", "1,,2"), ("APP_CREDENTIALS", "[{")],
    )
    def test_a_wrong_value_is_refused_by_name(self, variable: str, text: str) -> None:
        assert refusal_of(**{variable: text}).startswith(f"{variable} cannot be used")

    def test_the_choices_are_told(self) -> None:
        assert "expected one of ES256, RS256" in refusal_of(APP_ALG="none")

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        told = refusal_of(APP_DATABASE_URL="", APP_PORT="x")
        assert "APP_DATABASE_URL is not set" in told
        assert "APP_PORT cannot be used" in told

    def test_a_misspelt_variable_is_refused_with_the_nearest(self) -> None:
        told = refusal_of(APP_PROT="99")
        assert told == "APP_PROT is unknown, the nearest is APP_PORT"

    def test_variables_of_others_are_none_of_our_business(self) -> None:
        assert load(APPLE_PORT="x", PORT="y") == load()


class TestFiles:
    def test_a_value_may_stand_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text(TEXT + "\n")
        settings = load(APP_DATABASE_URL="", APP_DATABASE_URL_FILE=str(file))
        assert settings.database_url.reveal() == TEXT

    def test_not_in_both_places(self, tmp_path: Path) -> None:
        told = refusal_of(APP_PORT="1", APP_PORT_FILE=str(tmp_path / "port"))
        assert told == "APP_PORT is set, and so is APP_PORT_FILE: choose one"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        told = refusal_of(APP_PORT_FILE=str(tmp_path / "none"))
        assert told.startswith("APP_PORT cannot be read from the file")


class TestSecrets:
    def test_nothing_shows_it(self) -> None:
        settings = load(APP_DATABASE_URL=TEXT, APP_KEYS=TEXT)
        secret = settings.database_url
        assert secret.reveal() == TEXT
        for shown in (repr(settings), str(secret), f"{secret}", f"{settings.keys}"):
            assert TEXT not in shown
        with pytest.raises(TypeError):
            msgspec.json.encode(secret)
        with pytest.raises(TypeError):
            pickle.dumps(secret)

    @pytest.mark.parametrize(
        "text",
        [f'[{{"name":1,"secret":"{TEXT}"}}]', f'[{{"{TEXT}":1}}]', TEXT],
    )
    def test_no_refusal_repeats_it(self, text: str) -> None:
        assert TEXT not in refusal_of(APP_CREDENTIALS=text)

    def test_secrets_compare_by_text(self) -> None:
        assert Secret("a") == Secret("a")
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"


class TestTable:
    def test_every_setting_has_a_row(self) -> None:
        table = settings_table(Settings, "APP").splitlines()[2:]
        assert table[0] == (
            "| `APP_DATABASE_URL` | secret | required | where the log is |"
        )
        assert table[1] == "| `APP_PORT` | int | `8080` | to listen on |"
        assert table[2] == "| `APP_POLL` | duration | `1s` | between polls |"
        assert table[3] == "| `APP_SNAPSHOT` | path | none | file to start from |"
        assert table[4] == "| `APP_TLS` | bool | `no` | whether to encrypt |"
        assert table[5] == "| `APP_ALG` | `ES256`, `RS256` | `ES256` | signs tokens |"
        assert table[7] == "| `APP_KEYS` | list of secret | none | newest first |"
        assert table[8] == "| `APP_PORTS` | list of int | `1,2` | more ports |"
        assert table[9] == (
            "| `APP_CREDENTIALS` | JSON | none | who may read the feed |"
        )

    def test_a_setting_without_description_is_found(self) -> None:
        bare = msgspec.defstruct("Bare", [("port", int)])
        with pytest.raises(TypeError, match="port has no description"):
            settings_table(bare, "APP")


def test_what_types_cannot_say_is_refused_by_the_struct_itself() -> None:
    class Bounds(msgspec.Struct, frozen=True, kw_only=True):
        low: Annotated[int, Meta(description="lower bound")]
        high: Annotated[int, Meta(description="upper bound")]

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low must not be above high")

    with pytest.raises(WrongSettings, match="low must not be above high"):
        load_settings(Bounds, {"APP_LOW": "2", "APP_HIGH": "1"}, prefix="APP")
