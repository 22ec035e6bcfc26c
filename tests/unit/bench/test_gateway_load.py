"""Bad tokens are bad for the reason that their flood is named for."""

import os
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature

from bench.gateway.forgeries import FLOODS, FORGED_ES256, FORGED_RS256, Flood
from bench.gateway.modes import Mode, require_mode
from bench.gateway.site import Site
from bench.gateway.verification_loop import count, prepared
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import ratio_at_least
from enforcement_gateway.domain.authorization import OF_TOKENS
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.testing import facts
from tollgate.oauth.access_tokens import VerifiedAccessToken, verify_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.oauth.signing_keys import SigningKey
from tollgate.testing.keys import signing_key

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def site() -> Site:
    """As much of one as tokens are made of."""
    app = facts.new_app()
    es256, rs256 = signing_key(), signing_key(Algorithm.RS256)

    def token(key: SigningKey | None = None, **claims: object) -> str:
        return facts.minted(app, key or rs256, **{"issued_at": NOW, **claims})

    return cast(Site, SimpleNamespace(es256=es256, rs256=rs256, token=token))


def reason_against(token: str, site: Site) -> Reason | None:
    """What a gateway that knows both keys has against it at noon of that day."""
    verified = verify_access_token(
        token,
        keys={key.kid: key.public for key in (site.es256, site.rs256)},
        issuer=facts.ISSUER,
        audiences={DEFAULT_AUDIENCES[Scope.TRACKING_API_WRITE]},
    )
    if isinstance(verified, VerifiedAccessToken):
        refusal = verified.refusal_at(NOW + 43_200)
        return None if refusal is None else OF_TOKENS[refusal]
    return OF_TOKENS[verified]


@pytest.mark.parametrize(
    "flood", [*FLOODS, FORGED_ES256, FORGED_RS256], ids=lambda flood: flood.name
)
def test_every_token_of_a_flood_is_bad_for_its_reason_and_differs(
    flood: Flood, site: Site
) -> None:
    tokens = list(islice(flood.tokens(site), 50))

    assert {reason_against(token, site) for token in tokens} == {flood.reason}
    assert len(set(tokens)) == len(tokens)


def test_the_tokens_of_valid_traffic_are_good(site: Site) -> None:
    assert reason_against(site.token(), site) is None
    assert reason_against(site.token(site.es256), site) is None


@pytest.mark.parametrize("algorithm", [Algorithm.ES256, Algorithm.RS256])
def test_bare_verification_refuses_every_signature_and_counts_it(
    algorithm: Algorithm,
) -> None:
    verify, signatures = prepared(signing_key(algorithm).public)

    with pytest.raises(InvalidSignature):
        verify(signatures[0])
    assert count(verify, signatures, seconds=0.001) > 0


class TestModes:
    def test_each_has_a_target_of_its_own(self) -> None:
        interpreted, compiled = ratio_at_least(0.8), ratio_at_least(1)

        assert Mode.INTERPRETED.target(interpreted, compiled) is interpreted
        assert Mode.COMPILED.target(interpreted, compiled) is compiled

    def test_only_where_something_is_built_it_must_be_passed_over(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("bench.gateway.modes._SOURCES", (tmp_path,))
        assert Mode.INTERPRETED.settings == {}

        (tmp_path / "gate.cpython-311-x86_64-linux-gnu.so").touch()
        assert Mode.INTERPRETED.settings == {"INTERPRETED": "1"}
        assert Mode.COMPILED.settings == {}

    def test_a_process_is_taken_for_what_it_runs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        compiled = Path(msgspec.__file__).parent  # its extension is in our memory
        for source, runs, does_not in (
            (tmp_path, Mode.INTERPRETED, Mode.COMPILED),
            (compiled, Mode.COMPILED, Mode.INTERPRETED),
        ):
            monkeypatch.setattr("bench.gateway.modes._SOURCES", (source,))
            require_mode(runs, os.getpid())
            with pytest.raises(CannotMeasure, match=f"was to run {does_not}"):
                require_mode(does_not, os.getpid())
