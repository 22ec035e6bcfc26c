"""Members, their roles and their access tokens."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from app_registry.domain.commands import (
    AddMember,
    ChangeRoles,
    CreateSource,
    IssueAccessToken,
    RemoveMember,
    RevokeAccessToken,
)
from app_registry.domain.errors import (
    LastOwner,
    NoSuchAccessToken,
    NoSuchMember,
    NoSuchSource,
    NotAuthenticated,
    NotPermitted,
    UnacceptableEmail,
    UnacceptableExpiry,
    UnacceptableName,
    UnacceptableRoles,
    VersionDiffers,
)
from app_registry.testing.workspace import (
    AN_APP,
    FOUNDED,
    NOW,
    PUBLIC_API,
    STRANGERS,
    app,
    by,
    given,
    owner,
    someone,
    source,
)
from tollgate.events.registry import (
    AccessTokenIssued,
    AccessTokenRevoked,
    AccessTokenUsed,
    Grant,
    MemberAdded,
    MemberRemoved,
    MemberRolesChanged,
    Role,
)
from tollgate.testing.scenario import on

OWNER = Grant(role=Role.WORKSPACE_OWNER)
MEMBER = Grant(role=Role.WORKSPACE_MEMBER)
ADMIN = Grant(role=Role.SOURCE_ADMIN)

add = AddMember(member_id="mem_1", name="Mia", email="mia@example.com", grants=(ADMIN,))
mia = someone("mia", ADMIN)
pia = owner("pia")

OWNERS_BUSINESS = [
    add,
    ChangeRoles(member_id="mia", grants=(MEMBER,)),
    RemoveMember(member_id="mia"),
    IssueAccessToken(token_id="t1", member_id="mia", name="ci", secret_hash="ab"),
    RevokeAccessToken(token_id="mia_token"),
]


@pytest.mark.parametrize("command", OWNERS_BUSINESS)
def test_members_and_their_tokens_are_the_owners_business(command: AddMember) -> None:
    holder = app("app_admin", scopes=PUBLIC_API)
    given(FOUNDED, mia, holder).when(command, by=AN_APP).then_refused(NotPermitted)
    assert given(FOUNDED, mia).when(command).decide()
    for role in Role:
        if role is not Role.WORKSPACE_OWNER:
            other = someone("oto", Grant(role=role))
            given(FOUNDED, mia, other).when(command, by=by("oto")).then_refused(
                NotPermitted
            )


class TestAdd:
    def test_a_member_is_added(self) -> None:
        added = MemberAdded(
            workspace_id="ws_1", name="Mia", email="mia@example.com", grants=(ADMIN,)
        )
        given(FOUNDED).when(add).then(on("member-mem_1", added))

    @pytest.mark.parametrize(
        "email",
        [
            *("", "mia", "@", "mia@", "@example.com", "a b@example.com", "a@b@c"),
            *("mia@example.com\n", "m\0ia@example.com", "\ud800@x"),
            "x" * 250 + "@e.com",
        ],
    )
    def test_an_address_looks_like_one(self, email: str) -> None:
        given(FOUNDED).when(replace(add, email=email)).then_refused(UnacceptableEmail)

    def test_a_name_is_readable(self) -> None:
        given(FOUNDED).when(replace(add, name="M\x07ia")).then_refused(UnacceptableName)
        # Persian and Hindi names cannot be written without ZERO WIDTH (NON-)JOINER.
        joined = replace(add, name="Mi\u200ca\u200d")
        assert given(FOUNDED).when(joined).decide()

    @pytest.mark.parametrize(
        "grants",
        [
            (),
            (ADMIN, ADMIN),
            (Grant(role=Role.WORKSPACE_OWNER, sources=("src_1",)),),
            (Grant(role=Role.WORKSPACE_MEMBER, sources=("src_1",)),),
            (Grant(role=Role.SOURCE_ADMIN, sources=()),),
            (Grant(role=Role.SOURCE_ADMIN, sources=("src_1", "src_1")),),
            (Grant(role=Role.SOURCE_ADMIN, sources=("src_1",) * 501),),
            tuple(
                Grant(role=Role.SOURCE_ADMIN, sources=(f"src_{n}",)) for n in range(21)
            ),
        ],
    )
    def test_roles_make_sense(self, grants: tuple[Grant, ...]) -> None:
        given(FOUNDED, source("src_1")).when(replace(add, grants=grants)).then_refused(
            UnacceptableRoles
        )

    def test_roles_are_limited_to_sources_that_there_are(self) -> None:
        for source_id in ("src_1", "src_theirs"):
            limited = (Grant(role=Role.SOURCE_ADMIN, sources=(source_id,)),)
            given(FOUNDED, STRANGERS).when(replace(add, grants=limited)).then_refused(
                NoSuchSource
            )


class TestRoles:
    change = ChangeRoles(member_id="mia", grants=(OWNER,))

    def test_roles_change(self) -> None:
        given(FOUNDED, mia).when(self.change).then(
            on("member-mia", MemberRolesChanged(grants=(OWNER,)))
        )
        given(FOUNDED, owner("mia")).when(self.change).then()

    def test_the_last_owner_stays_one(self) -> None:
        demote = ChangeRoles(member_id="olga", grants=(ADMIN,))
        demoted = on("member-olga", MemberRolesChanged(grants=(ADMIN,)))
        given(FOUNDED, mia).when(demote).then_refused(LastOwner)
        given(FOUNDED, pia).when(demote).then(demoted)

    def test_an_owner_who_was_removed_or_is_elsewhere_is_no_other_owner(self) -> None:
        demote = ChangeRoles(member_id="olga", grants=(ADMIN,))
        gone = on("member-pia", MemberRemoved())
        given(FOUNDED, pia, gone).when(demote).then_refused(LastOwner)
        given(FOUNDED, STRANGERS).when(demote).then_refused(LastOwner)


class TestRemove:
    def test_a_member_is_removed_once(self) -> None:
        remove = RemoveMember(member_id="mia")
        gone = on("member-mia", MemberRemoved())
        given(FOUNDED, mia).when(remove).then(gone)
        given(FOUNDED, mia, gone).when(remove).then_refused(NoSuchMember)

    def test_the_last_owner_stays(self) -> None:
        remove = RemoveMember(member_id="olga")
        given(FOUNDED, mia).when(remove).then_refused(LastOwner)
        given(FOUNDED, pia).when(remove).then(on("member-olga", MemberRemoved()))

    def test_nobody_of_another_workspace(self) -> None:
        given(FOUNDED, STRANGERS).when(RemoveMember(member_id="stan")).then_refused(
            NoSuchMember
        )

    def test_not_if_they_have_changed(self) -> None:
        given(FOUNDED, mia).when(
            RemoveMember(member_id="mia", if_version=2)
        ).then_refused(VersionDiffers)


class TestAccessTokens:
    issue = IssueAccessToken(
        token_id="t1", member_id="mia", name="ci", secret_hash="ab"
    )

    def test_a_token_is_issued_for_a_member(self) -> None:
        later = NOW + timedelta(days=1)
        issued = AccessTokenIssued(
            workspace_id="ws_1",
            member_id="mia",
            name="ci",
            secret_hash="ab",
            expires_at=later,
        )
        given(FOUNDED, mia).when(replace(self.issue, expires_at=later)).then(
            on("access_token-t1", issued)
        )

    def test_not_for_a_stranger(self) -> None:
        given(FOUNDED).when(self.issue).then_refused(NoSuchMember)
        given(FOUNDED, STRANGERS).when(
            replace(self.issue, member_id="stan")
        ).then_refused(NoSuchMember)

    def test_not_for_the_past(self) -> None:
        given(FOUNDED, mia).when(replace(self.issue, expires_at=NOW)).then_refused(
            UnacceptableExpiry
        )

    def test_not_without_a_name(self) -> None:
        given(FOUNDED, mia).when(replace(self.issue, name="")).then_refused(
            UnacceptableName
        )

    def test_a_token_is_revoked_once(self) -> None:
        revoke = RevokeAccessToken(token_id="mia_token")
        revoked = on("access_token-mia_token", AccessTokenRevoked())
        given(FOUNDED, mia).when(revoke).then(revoked)
        given(FOUNDED, mia, revoked).when(revoke).then_refused(NoSuchAccessToken)
        given(FOUNDED, mia, on("member-mia", MemberRemoved())).when(
            revoke
        ).then_refused(NoSuchAccessToken)
        given(FOUNDED, STRANGERS).when(
            RevokeAccessToken(token_id="stan_token")
        ).then_refused(NoSuchAccessToken)


class TestTheCaller:
    """Who was let in by a credential may have lost it since."""

    command = CreateSource(source_id="src_1", name="Backend", source_type="python")

    @pytest.mark.parametrize(
        "since",
        [
            on("access_token-pia_token", AccessTokenRevoked()),
            on("member-pia", MemberRemoved()),
        ],
    )
    def test_loses_the_word_with_the_token(self, since: list) -> None:
        assert given(FOUNDED, pia).when(self.command, by=by("pia")).decide()
        given(FOUNDED, pia, since).when(self.command, by=by("pia")).then_refused(
            NotAuthenticated
        )

    def test_keeps_it_while_the_token_is_used(self) -> None:
        used = on("access_token-pia_token", AccessTokenUsed(day=NOW.date()))
        assert given(FOUNDED, pia, used).when(self.command, by=by("pia")).decide()

    def test_loses_it_when_the_token_expires(self) -> None:
        expiring = AccessTokenIssued(
            workspace_id="ws_1",
            member_id="olga",
            name="x",
            secret_hash="ab",
            expires_at=NOW,
        )
        facts = on("access_token-short", expiring)
        caller = replace(by("olga"), access_token_id="short")
        given(FOUNDED, facts).when(self.command, by=caller).then_refused(
            NotAuthenticated
        )
        assert (
            given(FOUNDED, facts)
            .when(self.command, by=caller, now=NOW - timedelta(seconds=1))
            .decide()
        )

    def test_does_not_borrow_the_token_of_another(self) -> None:
        given(FOUNDED, pia).when(
            self.command, by=replace(by("pia"), access_token_id="olga_token")
        ).then_refused(NotAuthenticated)

    def test_may_be_an_app_with_the_scope_for_it(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        assert given(FOUNDED, holder).when(self.command, by=AN_APP).decide()
        given(FOUNDED, app("app_admin")).when(self.command, by=AN_APP).then_refused(
            NotAuthenticated
        )
