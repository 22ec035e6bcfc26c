"""An app as it is folded, from the log or from events that were just decided."""

from typing import get_args

from tollgate.events.registry import KeyAdded, OAuthAppEvent, SourceEvent
from tollgate.oauth.algorithms import Algorithm
from tollgate.registry import oauth_app, source
from tollgate.registry.oauth_app import OAuthApp, evolve


def test_an_event_just_decided_folds_as_the_same_event_read_from_the_log() -> None:
    app = OAuthApp(id="app_1", version=1)
    decided, read = (
        KeyAdded(kid="k", name="a key", alg=alg, pem="PEM")
        for alg in (Algorithm.ES256, "ES256")
    )

    key = evolve(app, decided, 2).keys["k"]

    assert key == evolve(app, read, 2).keys["k"]
    assert type(key.alg) is str


def test_every_event_of_a_source_or_an_app_changes_it() -> None:
    assert set(source.AMENDMENTS) == set(get_args(SourceEvent))
    assert set(oauth_app.AMENDMENTS) == set(get_args(OAuthAppEvent))
