"""One line an event, with what binds it to its request and without secrets."""

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from tollgate.logs import _HIDDEN, _SECRETS, configure, hide_secrets
from tollgate.settings import Secret

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"
ACCESS_TOKEN = "tg_0123456789abcdef_" + "s" * 43
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----"


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.BytesIO()
    configure("token-issuer", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_where_and_what(stream: io.BytesIO) -> None:
    structlog.get_logger("tollgate.x").info("token refused", reason="unknown_kid")
    (line,) = lines(stream)
    assert str(line.pop("time")).endswith("Z")
    assert line == {
        "level": "info",
        "service": "token-issuer",
        "logger": "tollgate.x",
        "event": "token refused",
        "reason": "unknown_kid",
    }


def test_what_is_bound_to_the_task_is_in_every_line(stream: io.BytesIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("a").info("one")
    structlog.get_logger("a").info("two")
    assert [line.get("request_id") for line in lines(stream)] == ["r-1", None]


def test_libraries_log_in_the_same_form(stream: io.BytesIO) -> None:
    logging.getLogger("aiohttp.server").error("bad %s", "request")
    (line,) = lines(stream)
    assert (line["logger"], line["event"]) == ("aiohttp.server", "bad request")


def test_lost_connections_are_not_told_by_the_library(stream: io.BytesIO) -> None:
    logging.getLogger("aiormq.connection").error("lost")
    assert lines(stream) == []


def test_an_exception_stands_on_its_line(stream: io.BytesIO) -> None:
    structlog.get_logger("a").error("unhandled", exc_info=ValueError("broken"))
    (line,) = lines(stream)
    assert "ValueError: broken" in str(line["exception"])


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"got {JWT}", "c2lnbmF0dXJl"),
        (f"got {ACCESS_TOKEN}", "s" * 43),
        (PEM, "MIGHAgEAMBMG"),
        ("Authorization: Bearer abcdefgh12345", "abcdefgh12345"),
        ("Authorization: Basic d3JpdGVrZXk6", "d3JpdGVrZXk6"),
        ("postgresql://owner:pa55w0rd@127.0.0.1/x", "pa55w0rd"),
    ],
)
def test_secrets_are_cut_out_wherever_they_stand(
    stream: io.BytesIO, text: str, hidden: str
) -> None:
    logger = structlog.get_logger("a")
    logger.info(text)
    logger.info("field", field=text)
    logger.error("raised", exc_info=ValueError(text))
    assert len(lines(stream)) == 3
    assert hidden.encode() not in stream.getvalue()
    assert stream.getvalue().count(b"[hidden]") >= 3


def test_a_secret_as_a_field_stays_one(stream: io.BytesIO) -> None:
    structlog.get_logger("a").info("started", key=Secret("hunter2"))
    assert lines(stream)[0]["key"] == "Secret(hidden)"


def test_ordinary_words_stay(stream: io.BytesIO) -> None:
    text = "http://127.0.0.1:8080/v1/batch Bearer realm tg_short a.b.c"
    structlog.get_logger("a").info(text)
    assert lines(stream)[0]["event"] == text


_PIECES = (
    *(b"tg_", b"0123456789abcdef", b"_", b"eyJ", b"eyJhbGciOiJFUzI1NiJ9", b".", b"x"),
    *(b"-----BEGIN ", b"RSA ", b"PRIVATE KEY", b"-----", b"-----END ", b"KEY-----"),
    *(b"Bearer ", b"Basic ", b"bearer ", b"abcdefgh", b"://", b"user:", b"word@", b" "),
)


@given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=4)).map(b"".join))
@example(f"{JWT} {ACCESS_TOKEN} {PEM}".encode())
def test_a_line_without_marks_holds_no_secret(line: bytes) -> None:
    """The short way leaves alone what the expression leaves alone, and no more."""
    assert hide_secrets(line) == _SECRETS.sub(_HIDDEN, line)
