"""Which door a request stands at: the routes of WIRE 5, to the octet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http.routes import ROUTES, SCOPES, Door, route_of
from tollgate.oauth.scopes import Scope

CALLS = ("identify", "track", "page", "screen", "group", "alias")
TRACKING = [
    f"/v1/{name}"
    for name in (*CALLS, "batch", "import", "b", "i", "t", "p", "s", "g", "a", "m")
]
PIXELS = [f"/v1/pixel/{name}" for name in CALLS]


def door_of(path: str, query: bytes | None = None, prefix: bytes | None = None) -> Door:
    return route_of(path.encode(), query, prefix).door


class TestKnown:
    @pytest.mark.parametrize("path", TRACKING)
    def test_tracking_with_or_without_one_slash(self, path: str) -> None:
        for spelt in (path, path + "/"):
            assert door_of(spelt) is Door.TRACKING
            assert route_of(spelt.encode(), None).allow == b"POST, OPTIONS"

    @pytest.mark.parametrize("path", PIXELS)
    def test_pixels_with_or_without_one_slash(self, path: str) -> None:
        for spelt in (path, path + "/"):
            assert door_of(spelt) is Door.PIXEL
            assert route_of(spelt.encode(), None).methods == (b"GET",)

    @pytest.mark.parametrize("query", [b"b=x", b"a&b=x", b"a=1&b=", b"b=x&c"])
    def test_a_function(self, query: bytes) -> None:
        assert door_of("/", query) is Door.FUNCTION
        assert route_of(b"/", query).methods == (b"POST",)

    def test_a_query_changes_no_path(self) -> None:
        assert door_of("/v1/batch", b"b=x") is Door.TRACKING

    def test_there_are_no_others(self) -> None:
        known = {path.encode() for path in TRACKING + PIXELS}
        assert set(ROUTES) == known | {path + b"/" for path in known}

    def test_each_door_is_opened_by_its_own_scope(self) -> None:
        assert SCOPES == {
            Door.TRACKING: Scope.TRACKING_API_WRITE,
            Door.PIXEL: Scope.TRACKING_API_WRITE,
            Door.FUNCTION: Scope.FUNCTIONS_WRITE,
            Door.ADMIN: Scope.PUBLIC_API_READ_WRITE,
        }


NOWHERE = [
    "",
    "/",
    "//",
    "/v1",
    "/v1/",
    "/v1/batches",
    "/v1/batch//",
    "//v1/batch",
    "/v1//batch",
    "/v1/./batch",
    "/v1/../v1/batch",
    "/v1/batch/.",
    "/v1/batch/..",
    "/v1/%62atch",
    "/v1/batch%2F",
    "/v1%2Fbatch",
    "/v1/batch;a",
    "/V1/batch",
    "/v1/Batch",
    "/v1/batch/x",
    "/v2/batch",
    "/v1/pixel",
    "/v1/pixel/batch",
    "/v1/pixel/t",
    "/v1/batch\\",
    "\\v1\\batch",
    "v1/batch",
    "*",
    "/v1/projects/key/settings",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_anything_else_is_nowhere(path: str) -> None:
    for query in (None, b"", b"a=b", b"xb=1"):
        with pytest.raises(Refused) as refused:
            route_of(path.encode(), query, b"/admin")
        assert refused.value.reason is Reason.NOT_FOUND


@given(st.text(st.characters(max_codepoint=0x7F), max_size=30))
def test_no_other_path_is_known(path: str) -> None:
    raw = path.encode()
    if raw in ROUTES:
        return
    with pytest.raises(Refused):
        route_of(raw, None)


class TestAdmin:
    @pytest.mark.parametrize(
        "path",
        ["/admin/v1", "/admin/v1/sources", "/admin/v1/a-b_c.d~e/", "/admin/X"],
    )
    def test_plain_paths_under_the_prefix(self, path: str) -> None:
        assert door_of(path, None, b"/admin") is Door.ADMIN

    @pytest.mark.parametrize(
        "path",
        [
            "/admin",
            "/admin/",
            "/administrator",
            "/admin//v1",
            "/admin/../v1/batch",
            "/admin/./v1",
            "/admin/v1/..",
            "/admin/.hidden",
            "/admin/%2e%2e/v1",
            "/admin/v1;a",
            "/admin/v1\\x",
            "/Admin/v1",
            "/x/admin/v1",
        ],
    )
    def test_nothing_else(self, path: str) -> None:
        with pytest.raises(Refused):
            door_of(path, None, b"/admin")

    def test_no_prefix_no_door(self) -> None:
        with pytest.raises(Refused):
            door_of("/admin/v1/sources")
