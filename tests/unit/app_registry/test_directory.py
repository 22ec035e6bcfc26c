"""The directory lists what there is, in order, by workspace."""

from app_registry.directory import Directory
from app_registry.testing.workspace import FOUNDED, STRANGERS, app, source
from tollgate.events.registry import (
    MemberRemoved,
    OAuthAppDeleted,
    OAuthAppRenamed,
    SourceDeleted,
)
from tollgate.testing.scenario import Fact, on, recorded


def directory_of(facts: list[Fact]) -> Directory:
    directory = Directory()
    for each in recorded(facts):
        directory.apply(each)
    return directory


def ids(listing: object) -> list[str]:
    return [item_id for _, item_id in listing.after(0)]


def test_things_are_listed_in_the_order_in_which_they_were_made() -> None:
    directory = directory_of(
        [
            *FOUNDED,
            *app("app_z"),
            *source("src_b"),
            *STRANGERS,
            *app("app_a"),
            *source("src_f", source_type="source-function"),
            *source("src_a", source_type="javascript"),
            *on("oauth_app-app_z", OAuthAppRenamed(name="later")),
        ]
    )
    ours = directory.listings["ws_1"]
    assert ids(ours.apps) == ["app_z", "app_a"]
    assert ids(ours.sources) == ["src_b", "src_a"]
    assert ids(ours.source_functions) == ["src_f"]
    assert ids(ours.members) == ["olga"]
    assert ids(ours.access_tokens) == ["olga_token"]
    theirs = directory.listings["ws_2"]
    assert ids(theirs.apps) == ["app_theirs"]
    assert ids(theirs.sources) == ["src_theirs"]


def test_what_is_deleted_is_not_listed() -> None:
    directory = directory_of(
        [
            *FOUNDED,
            *app("app_1", OAuthAppDeleted()),
            *source("src_1", SourceDeleted()),
            *on("member-olga", MemberRemoved()),
        ]
    )
    ours = directory.listings["ws_1"]
    assert ids(ours.apps) == ids(ours.sources) == ids(ours.members) == []


def test_a_stream_belongs_to_a_workspace() -> None:
    directory = directory_of([*FOUNDED, *STRANGERS, *app("app_1", OAuthAppDeleted())])
    assert directory.workspace_of("workspace-ws_2") == "ws_2"
    assert directory.workspace_of("oauth_app-app_1") == "ws_1"
    assert directory.workspace_of("source-src_theirs") == "ws_2"
    assert directory.workspace_of("member-stan") == "ws_2"
    assert directory.workspace_of("access_token-olga_token") == "ws_1"
    for unknown in ("workspace-x", "oauth_app-x", "write_key-x", "signing_key-x", ""):
        assert directory.workspace_of(unknown) is None
