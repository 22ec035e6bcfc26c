"""What a decision relied on becomes what must still hold when it is recorded."""

from app_registry.domain.commands import (
    AddWriteKey,
    Command,
    ConnectApp,
    CreateApp,
    DeleteApp,
    DisconnectApp,
    RemoveMember,
)
from app_registry.domain.decide import decide
from app_registry.domain.evidence import Evidence
from app_registry.testing.workspace import (
    FOUNDED,
    NOW,
    app,
    by,
    connected,
    key,
    owner,
    source,
    state_of,
)
from tollgate.registry.source_types import SOURCE_TYPES
from tollgate.registry.streams import write_key_stream
from tollgate.testing.scenario import Fact, recorded

OLGA = {"member-olga": 1, "access_token-olga_token": 1}


def relied_on(facts: list[Fact], command: Command) -> dict[str, int]:
    evidence = Evidence(state_of(recorded([*FOUNDED, *facts])))
    decide(command, evidence, caller=by("olga"), now=NOW, types=SOURCE_TYPES)
    return evidence.relied_on


def test_every_command_relies_on_its_caller_and_its_object() -> None:
    delete = DeleteApp(app_id="app_1", confirm_name="app_1")
    assert relied_on(app("app_1"), delete) == {**OLGA, "oauth_app-app_1": 2}


def test_what_is_created_must_not_be_there() -> None:
    create = CreateApp(
        app_id="app_1",
        name="Shop",
        key=key("first"),
        token_lifetime=86400,
        scopes=frozenset({"tracking_api:write"}),
    )
    assert relied_on([], create) == {**OLGA, "oauth_app-app_1": 0}


def test_a_connection_relies_on_both_sides() -> None:
    facts = [*app("app_1"), *source("src_1")]
    connect = ConnectApp(source_id="src_1", app_id="app_1")
    disconnect = DisconnectApp(source_id="src_1")
    assert relied_on(facts, connect) == {
        **OLGA,
        "source-src_1": 1,
        "oauth_app-app_1": 2,
    }
    assert relied_on([*facts, *connected("src_1", "app_1")], disconnect) == {
        **OLGA,
        "source-src_1": 2,
        "oauth_app-app_1": 3,
    }


def test_a_write_key_must_be_free_in_the_whole_deployment() -> None:
    add = AddWriteKey(source_id="src_1", write_key="write-key-1")
    assert relied_on(source("src_1"), add) == {
        **OLGA,
        "source-src_1": 1,
        write_key_stream("write-key-1"): 0,
    }


def test_two_owners_who_remove_each_other_are_each_others_witness() -> None:
    facts = owner("pia")
    assert "member-pia" in relied_on(facts, RemoveMember(member_id="olga"))
    assert "member-olga" in relied_on(facts, RemoveMember(member_id="pia"))
