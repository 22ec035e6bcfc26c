"""Every path of the tracking API, and nothing else."""

import base64
import json

import pytest

from enforcement_gateway.http.responses import EMPTY_GIF
from tollgate.oauth.scopes import Scope

POSTS = [
    *("identify", "track", "page", "screen", "group", "alias"),
    *("batch", "import", "b", "i", "t", "p", "s", "g", "a", "m"),
]
PIXELS = ["identify", "group", "alias", "page", "screen", "track"]


def encoded(document, *, url_safe=False, padded=True):
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(json.dumps(document).encode()).decode()
    return text if padded else text.rstrip("=")


class TestTracking:
    @pytest.mark.parametrize("name", POSTS)
    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_every_alias_is_guarded_and_forwarded(
        self, gateway, world, name, slash
    ):
        path = f"/v1/{name}{slash}"
        body = {"writeKey": "enforced-key", "type": "track"}
        assert (await gateway.ask(body, path=path)).status == 401
        answer = await gateway.ask(body, path=path, token=world.token())
        assert answer.status == 200
        (request,) = gateway.upstream.requests
        assert request.start_line == f"POST {path} HTTP/1.1"

    async def test_any_content_type_or_none_will_do(self, gateway):
        for content_type in ("text/plain", "application/json; charset=utf-8", ""):
            answer = await gateway.ask(
                gateway.batch("open-key"), Content_Type=content_type
            )
            assert answer.status == 200

    @pytest.mark.parametrize("charset", ["utf-7", "utf-16", '"UTF-7"', "iso-8859-1"])
    async def test_a_charset_that_others_would_decode_by_is_refused(
        self, gateway, charset
    ):
        answer = await gateway.ask(
            gateway.batch("open-key"),
            Content_Type=f"application/json; charset={charset}",
        )
        assert answer.status == 415

    async def test_absolute_form_is_a_path_and_never_another_host(self, gateway):
        answer = await gateway.ask(
            gateway.batch("open-key"), path="http://elsewhere.test:81/v1/batch?x=1"
        )
        assert answer.status == 200
        (request,) = gateway.upstream.requests
        assert request.start_line == "POST /v1/batch?x=1 HTTP/1.1"
        assert request["Host"] == f"127.0.0.1:{gateway.upstream.port}"
        assert request["X-Forwarded-Host"] == "elsewhere.test:81"


class TestNotFound:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/v1",
            "/v1/",
            "/v1/nothing",
            "/v2/batch",
            "/V1/batch",
            "/v1/Batch",
            "//v1/batch",
            "/v1//batch",
            "/v1/batch//",
            "/v1/./batch",
            "/v1/x/../batch",
            "/v1/%62atch",
            "/v1/batch%2f",
            "/v1/batch;x",
            "/v1/batch/x",
            "/v1/batch\\",
            "/v1/pixel",
            "/v1/pixel/batch",
            "/?a=b=x",
            "/?bb=x",
        ],
    )
    async def test_is_404_and_never_forwarded(self, gateway, world, path):
        answer = await gateway.ask(
            gateway.batch("open-key"), path=path, token=world.token()
        )
        assert answer.status == 404
        assert json.loads(answer.body)["code"] == "not_found"
        assert gateway.upstream.requests == []


class TestMethods:
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
    async def test_405_with_allow(self, gateway, method):
        client = await gateway.client()
        await client.send(gateway.request(path="/v1/batch", method=method))
        client.writer.write_eof()
        head = (await client.rest()).decode()
        assert head.startswith("HTTP/1.1 405 ")
        assert "Allow: POST, OPTIONS\r\n" in head

    async def test_a_pixel_allows_get(self, gateway):
        answer = await gateway.ask(path="/v1/pixel/track", method="PUT")
        assert (answer.status, answer["Allow"]) == (405, "GET, OPTIONS")

    async def test_trace_echoes_nothing(self, gateway):
        answer = await gateway.ask(
            path="/v1/batch", method="TRACE", Authorization="Bearer secret-token"
        )
        assert answer.status == 405
        assert b"secret-token" not in answer.body

    async def test_an_unknown_method_is_501(self, gateway):
        assert (await gateway.ask(path="/v1/batch", method="BREW")).status == 501

    async def test_connect_is_refused_and_ends_the_connection(self, gateway):
        client = await gateway.client()
        answer = await client.ask(
            b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n"
        )
        assert (answer.status, answer["Connection"]) == (405, "close")
        assert await client.rest() == b""

    @pytest.mark.parametrize("path", ["/v1/batch", "*"])
    async def test_options_tells_what_is_allowed(self, gateway, path):
        answer = await gateway.ask(path=path, method="OPTIONS")
        assert answer.status == 204
        assert "POST" in answer["Allow"]
        assert gateway.upstream.requests == []

    async def test_a_preflight_is_for_the_upstream(self, gateway):
        gateway.upstream.answer_with(
            b"HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
        )
        answer = await gateway.ask(
            path="/v1/batch",
            method="OPTIONS",
            Origin="https://shop.test",
            Access_Control_Request_Method="POST",
            Authorization="Bearer a.b.c",
        )
        assert (answer.status, answer["Access-Control-Allow-Origin"]) == (204, "*")
        (request,) = gateway.upstream.requests
        assert request.start_line == "OPTIONS /v1/batch HTTP/1.1"
        assert "Authorization" not in request

    async def test_max_forwards_zero_ends_here(self, gateway):
        answer = await gateway.ask(
            path="/v1/batch",
            method="OPTIONS",
            Access_Control_Request_Method="POST",
            Max_Forwards="0",
        )
        assert answer.status == 204
        assert gateway.upstream.requests == []


class TestPixel:
    @pytest.mark.parametrize("name", PIXELS)
    async def test_an_open_source_passes(self, gateway, name):
        for query in (
            f"data={encoded({'writeKey': 'open-key'})}",
            f"data={encoded({'writeKey': 'open-key'}, padded=False)}",
            f"data={encoded({'writeKey': 'open-key'}, url_safe=True)}",
            "writeKey=open-key&userId=1&properties.subject=a%20b",
        ):
            path = f"/v1/pixel/{name}?{query}"
            assert (await gateway.ask(path=path, method="GET")).status == 200
            assert gateway.upstream.requests[-1].start_line == f"GET {path} HTTP/1.1"

    async def test_report_passes_and_enforce_gets_the_gif_with_401(self, gateway):
        path = "/v1/pixel/track?writeKey="
        answer = await gateway.ask(path=path + "reporting-key", method="GET")
        assert answer.status == 200
        answer = await gateway.ask(path=path + "enforced-key", method="GET")
        assert answer.status == 401
        assert answer["Content-Type"] == "image/gif"
        assert answer.body == EMPTY_GIF
        assert "WWW-Authenticate" in answer
        assert len(gateway.upstream.requests) == 1

    @pytest.mark.parametrize(
        "query",
        [
            "data=%%%",
            "data=eyJ3",
            f"data={encoded({'WriteKey': 'open-key'})}",
            f"data={encoded({'writeKey': 'open-key'})}&data=x",
            "data=" + encoded({"writeKey": "open-key"})[:9] + "+" + "AAAA",
            "writeKey=open-key;writeKey=enforced-key",
        ],
    )
    async def test_what_cannot_be_read_gets_the_gif_with_400(self, gateway, query):
        answer = await gateway.ask(path=f"/v1/pixel/track?{query}", method="GET")
        assert answer.status == 400
        assert answer.body == EMPTY_GIF
        assert gateway.upstream.requests == []

    async def test_a_body_is_refused(self, gateway):
        answer = await gateway.ask(
            {}, path="/v1/pixel/track?writeKey=open-key", method="GET"
        )
        assert answer.status == 400


class TestFunction:
    def address(self, pair):
        return "/?b=" + base64.b64encode(pair.encode()).decode().rstrip("=")

    async def test_it_needs_its_own_scope_and_its_body_is_never_read(
        self, gateway, world
    ):
        path = self.address("src_enforced::enforced-key")
        body = b'any=form&writeKey="\xff'
        scopes = (Scope.FUNCTIONS_WRITE,)
        kind = {"Content_Type": "application/x-www-form-urlencoded"}
        assert (await gateway.ask(body, path=path, **kind)).status == 401
        answer = await gateway.ask(body, path=path, token=world.token(), **kind)
        assert answer.status == 401
        answer = await gateway.ask(
            body, path=path, token=world.token(scopes=scopes), **kind
        )
        assert answer.status == 200
        (request,) = gateway.upstream.requests
        assert request.start_line == f"POST {path} HTTP/1.1"
        assert request.body == body

    async def test_a_foreign_source_id_does_not_matter(self, gateway):
        path = self.address("6rbQ1Lj6::open-key")
        assert (await gateway.ask(b"x", path=path)).status == 200

    async def test_one_of_our_sources_must_be_that_of_the_key(self, gateway, world):
        path = self.address("src_enforced::open-key")
        token = world.token(scopes=(Scope.FUNCTIONS_WRITE,))
        assert (await gateway.ask(b"x", path=path, token=token)).status == 403

    @pytest.mark.parametrize("pair", ["open-key", "::", "src::", "\x00::k", "ü::k"])
    async def test_an_address_that_is_none_is_refused(self, gateway, pair):
        assert (await gateway.ask(b"x", path=self.address(pair))).status == 400

    async def test_any_content_coding_passes_unread(self, gateway):
        path = self.address("s::open-key")
        answer = await gateway.ask(b"\x1f\x8b", path=path, Content_Encoding="br")
        assert answer.status == 200


class TestAdmin:
    async def test_the_prefix_is_cut_off_and_the_bearer_goes_on(self, gateway, world):
        token = world.token(scopes=(Scope.PUBLIC_API_READ_WRITE,))
        answer = await gateway.ask(
            path="/admin/v1/sources?limit=2", method="GET", token=token
        )
        assert answer.status == 200
        (request,) = gateway.upstream.requests
        assert request.start_line == "GET /v1/sources?limit=2 HTTP/1.1"
        assert request["Authorization"] == f"Bearer {token}"

    async def test_it_needs_its_own_scope(self, gateway, world):
        for token in (None, world.token(), "tg_0123456789abcdef_secret"):
            answer = await gateway.ask(
                path="/admin/v1/sources", method="GET", token=token
            )
            assert answer.status == 401

    @pytest.mark.parametrize(
        "path", ["/admin", "/admin/", "/admin//v1", "/admin/../v1/batch", "/admin/%2e"]
    )
    async def test_only_plain_paths_lead_there(self, gateway, world, path):
        token = world.token(scopes=(Scope.PUBLIC_API_READ_WRITE,))
        assert (await gateway.ask(path=path, method="GET", token=token)).status == 404
