"""Request heads, read so strictly that nobody behind us can read them differently.

RFC 9112 lets a recipient be lenient in many places, and every one of them has been
used to smuggle a request past a gate. So: lines end in CRLF, names are tokens, values
hold no control characters, one Host, one length or one chunked coding, HTTP/1.1 or
1.0. llhttp must agree with us on every head, and is not asked about anything it leaves
to its users (the list stands in DESIGN 12).
"""

import re
from enum import IntEnum, auto
from itertools import islice
from typing import Final

import httptools
import msgspec

from enforcement_gateway.domain.denials import Reason, Refused

MAX_HEAD = 32 * 1024
MAX_TARGET = 8192
MAX_REQUEST_LINE = MAX_TARGET + 64
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 18

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(\d)\.(\d)" % _TOKEN).fullmatch
_NAME = re.compile(_TOKEN).fullmatch
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS).fullmatch
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE).fullmatch
_ORIGIN_FORM = re.compile(rb"/[^#]*").fullmatch
_AUTHORITY = re.compile(
    # No repetition inside a repetition: what can be split in many ways is tried in all.
    rb"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?"
    rb"|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
).fullmatch

KNOWN_METHODS: Final = frozenset(
    {
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
    }
)


class Kind(IntEnum):
    """What a header field is to us."""

    ORDINARY = auto()
    """Passed on as it came."""
    DROPPED = auto()
    """Hop-by-hop, or spelt like one of ours: never passed on."""
    HOST = auto()
    CONTENT_LENGTH = auto()
    TRANSFER_ENCODING = auto()
    CONNECTION = auto()
    EXPECT = auto()
    AUTHORIZATION = auto()
    CONTENT_ENCODING = auto()
    CONTENT_TYPE = auto()
    USER_AGENT = auto()
    VIA = auto()
    FORWARDED_FOR = auto()
    FORWARDED_PROTO = auto()
    MAX_FORWARDS = auto()


_KINDS: Final = {
    b"host": Kind.HOST,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"connection": Kind.CONNECTION,
    b"expect": Kind.EXPECT,
    b"authorization": Kind.AUTHORIZATION,
    b"content-encoding": Kind.CONTENT_ENCODING,
    b"content-type": Kind.CONTENT_TYPE,
    b"user-agent": Kind.USER_AGENT,
    b"via": Kind.VIA,
    b"x-forwarded-for": Kind.FORWARDED_FOR,
    b"x-forwarded-proto": Kind.FORWARDED_PROTO,
    b"max-forwards": Kind.MAX_FORWARDS,
}

_ORDINARY: Final = Kind.ORDINARY
_DROPPED: Final = Kind.DROPPED
_PASSED_ON: Final = frozenset(
    {Kind.USER_AGENT, Kind.CONTENT_TYPE, Kind.CONTENT_ENCODING, Kind.MAX_FORWARDS}
)

_NEVER_FORWARDED: Final = frozenset(
    {
        # RFC 9110 §7.6.1: hop-by-hop, whether Connection names them or not
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"http2-settings",
        # What we say ourselves, or what says the same in other words
        b"forwarded",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-real-ip",
        b"x-request-id",
    }
)
_OURS = b"tollgate-"

_FORMS: Final = {Kind.HOST: _AUTHORITY, Kind.CONTENT_LENGTH: _DIGITS}

_INDISPENSABLE: Final = frozenset(_KINDS) - {b"connection", b"expect", b"via"}
"""RFC 9110 §7.6.1: fields for everyone are never connection options."""


class Field(msgspec.Struct, frozen=True, gc=False):
    """One header line. `name` is in lower case, `value` without its outer space.

    `fits` says that the value has the form that its name asks for, where one is asked.
    """

    line: bytes
    name: bytes
    value: bytes
    kind: Kind
    fits: bool = True


class Head(msgspec.Struct, kw_only=True):
    """A request head that is beyond doubt.

    `path` and `query` are raw bytes; `path` is `*` for the asterisk form. `forwarded`
    holds the lines that may be passed on as they came. `authority` is that of the
    target if it has one, else the Host field (RFC 9112 §3.2.2); `b""` in HTTP/1.0.
    """

    method: bytes
    path: bytes
    query: bytes | None
    authority: bytes
    is_http_1_1: bool
    keep_alive: bool
    content_length: int = 0
    chunked: bool = False
    expects_continue: bool = False
    forwarded: list[bytes]
    authorization: Field | None = None
    content_encoding: bytes | None = None
    content_type: bytes | None = None
    user_agent: bytes = b""
    via: bytes | None = None
    forwarded_for: bytes | None = None
    forwarded_proto: bytes | None = None
    max_forwards: int | None = None

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0


class _RequestLine(msgspec.Struct, frozen=True, gc=False):
    """A request line, taken apart. `authority` is that of an absolute target."""

    method: bytes
    path: bytes
    query: bytes | None
    authority: bytes | None
    is_http_1_1: bool


_MAX_KNOWN_LINES = 4096
_MAX_KNOWN_LINE = 256
_known_lines: dict[bytes, Field] = {}
_known_request_lines: dict[bytes, _RequestLine] = {}


def read_head(head: bytes) -> Head:
    """Understand a head (without the empty line that ends it), or raise `Refused`."""
    lines = head.split(b"\r\n")
    line = _known_request_lines.get(lines[0])
    if line is None:
        line = _read_request_line(lines[0])
    if len(lines) > 1 + MAX_FIELDS:
        raise Refused(Reason.HEAD_TOO_LARGE)
    understood = Head(
        method=line.method,
        path=line.path,
        query=line.query,
        authority=b"",
        is_http_1_1=line.is_http_1_1,
        keep_alive=line.is_http_1_1,
        forwarded=[],
    )
    options = _read_fields(lines, understood)
    if understood.authority == b"" and line.is_http_1_1:
        raise Refused(Reason.HOST_INVALID)
    if line.authority is not None:
        understood.authority = line.authority
    if options is not None:
        _heed_connection(options, understood)
    if line.method not in KNOWN_METHODS:
        raise Refused(Reason.METHOD_UNKNOWN)
    _ask_llhttp(head)
    return understood


def _read_request_line(text: bytes) -> _RequestLine:
    """The first line, from scratch (RFC 9112 §3)."""
    if len(text) > MAX_REQUEST_LINE:
        raise Refused(Reason.TARGET_TOO_LONG)
    match = _REQUEST_LINE(text)
    if match is None:
        raise Refused(Reason.HEAD_MALFORMED)
    method, target, major, minor = match.groups()
    if len(target) > MAX_TARGET:
        raise Refused(Reason.TARGET_TOO_LONG)
    if major != b"1" or minor not in (b"0", b"1"):
        raise Refused(Reason.VERSION_UNSUPPORTED)
    path, query, authority = _split_target(method, target)
    line = _RequestLine(method, path, query, authority, minor == b"1")
    if len(text) <= _MAX_KNOWN_LINE:
        if len(_known_request_lines) >= _MAX_KNOWN_LINES:
            _known_request_lines.clear()
        _known_request_lines[text] = line
    return line


def _split_target(
    method: bytes, target: bytes
) -> tuple[bytes, bytes | None, bytes | None]:
    """Path, query and authority of a request target (RFC 9112 §3.2)."""
    authority = None
    if method == b"CONNECT":
        return target, None, None
    if target == b"*" and method == b"OPTIONS":
        return target, None, None
    absolute = _ABSOLUTE(target)
    if absolute is not None:
        authority, target = absolute.groups()
        if not _AUTHORITY(authority):
            raise Refused(Reason.HOST_INVALID)
        if not target.startswith(b"/"):
            target = b"/" + target
    if not _ORIGIN_FORM(target):
        raise Refused(Reason.HEAD_MALFORMED)
    path, question_mark, query = target.partition(b"?")
    return path, query if question_mark else None, authority


class _Framing(msgspec.Struct):
    """What the fields say about where the request ends, before it is judged."""

    length: bytes | None = None
    codings: bytes | None = None
    options: bytes | None = None


def _read_fields(lines: list[bytes], head: Head) -> bytes | None:
    """Sort the fields into `head`; the value of Connection is returned.

    `lines` begin with the request line.
    """
    framing = _Framing()
    forward = head.forwarded.append
    for line in islice(lines, 1, None):
        field = _known_lines.get(line)
        if field is None:
            field = read_field(line)
        kind = field.kind
        if kind is _ORDINARY:
            forward(line)
        elif kind in _PASSED_ON:
            forward(line)
            _note(field, head)
        elif kind is not _DROPPED:
            _heed(field, head, framing)
    length, codings = framing.length, framing.codings
    if codings is not None:
        _heed_transfer_encoding(codings, length, head)
    elif length is not None:
        head.content_length = int(length)
    return framing.options


def _note(field: Field, head: Head) -> None:
    """Take note of a field that is meant for those behind us as well."""
    match field.kind:
        case Kind.USER_AGENT:
            head.user_agent = field.value
        case Kind.CONTENT_TYPE:
            if head.content_type is not None:
                raise Refused(Reason.HEAD_MALFORMED)
            head.content_type = field.value
        case Kind.CONTENT_ENCODING:
            head.content_encoding = _listed(head.content_encoding, field.value)
        case _:
            head.max_forwards = int(field.value) if _DIGITS(field.value) else None


def _heed(field: Field, head: Head, framing: _Framing) -> None:
    """Take in a field that is meant for us, or that we say anew."""
    value = field.value
    match field.kind:
        case Kind.HOST:
            if head.authority or not field.fits:
                raise Refused(Reason.HOST_INVALID)
            head.authority = value
        case Kind.AUTHORIZATION:
            if head.authorization is not None:
                raise Refused(Reason.CREDENTIALS_AMBIGUOUS)
            head.authorization = field
        case Kind.CONTENT_LENGTH:
            # Equal repetitions may be collapsed (RFC 9110 §8.6); nobody sends them.
            if framing.length is not None or not field.fits:
                raise Refused(Reason.LENGTH_INVALID)
            framing.length = value
        case Kind.TRANSFER_ENCODING:
            framing.codings = _listed(framing.codings, value)
        case Kind.CONNECTION:
            framing.options = _listed(framing.options, value)
        case Kind.EXPECT:
            if not head.is_http_1_1:
                return  # RFC 9110 §10.1.1: ignored in HTTP/1.0
            if value.lower() != b"100-continue":
                raise Refused(Reason.EXPECTATION_UNKNOWN)
            head.expects_continue = True
        case Kind.VIA:
            head.via = _listed(head.via, value)
        case Kind.FORWARDED_FOR:
            head.forwarded_for = _listed(head.forwarded_for, value)
        case _:
            head.forwarded_proto = value


def read_field(line: bytes) -> Field:
    """One line, from scratch. Obsolete folding is refused (RFC 9112 §5.2)."""
    name, colon, value = line.partition(b":")
    if not colon or not _NAME(name) or not _VALUE(value):
        raise Refused(Reason.HEAD_MALFORMED)
    name = name.lower()
    kind = _KINDS.get(name)
    if kind is None:
        # Behind us `X_Request_Id` may be the same variable as `X-Request-Id`.
        folded = name.replace(b"_", b"-")
        kept = (
            folded in _NEVER_FORWARDED
            or folded.startswith(_OURS)
            or (folded != name and folded in _KINDS)
        )
        kind = Kind.DROPPED if kept else Kind.ORDINARY
    value = value.strip(b" \t")
    form = _FORMS.get(kind)
    field = Field(line, name, value, kind, form is None or form(value) is not None)
    if len(line) <= _MAX_KNOWN_LINE and kind is not Kind.AUTHORIZATION:
        if len(_known_lines) >= _MAX_KNOWN_LINES:
            _known_lines.clear()
        _known_lines[line] = field
    return field


def _listed(before: bytes | None, value: bytes) -> bytes:
    return value if before is None else before + b", " + value


def _heed_transfer_encoding(codings: bytes, length: bytes | None, head: Head) -> None:
    """RFC 9112 §6.1: chunked alone, never beside a length, never in HTTP/1.0."""
    if length is not None or not head.is_http_1_1:
        raise Refused(Reason.TRANSFER_CODING_INVALID)
    names = [name.strip(b" \t").lower() for name in codings.split(b",")]
    if names == [b"chunked"]:
        head.chunked = True
        return
    if b"chunked" in names[:-1] or b"" in names:
        raise Refused(Reason.TRANSFER_CODING_INVALID)
    raise Refused(Reason.TRANSFER_CODING_UNKNOWN)


def _heed_connection(options: bytes, head: Head) -> None:
    """RFC 9110 §7.6.1: what Connection names stays on this connection."""
    if options == b"keep-alive":  # nearly every client says just that
        return
    named = {option.strip(b" \t").lower() for option in options.split(b",")}
    if b"close" in named:
        head.keep_alive = False
    named -= {b"close", b"keep-alive", b""}
    if not named:
        return
    if not named.isdisjoint(_INDISPENSABLE):
        raise Refused(Reason.HEAD_MALFORMED)
    head.forwarded = [
        line for line in head.forwarded if line.partition(b":")[0].lower() not in named
    ]
    if b"via" in named:
        head.via = None


class _Silent:
    """llhttp calls back nobody; only its opinion counts."""


_SILENT = _Silent()


def _ask_llhttp(head: bytes) -> None:
    """A second opinion: what either of us refuses is refused."""
    parser = httptools.HttpRequestParser(_SILENT)
    try:
        parser.feed_data(head)
        parser.feed_data(b"\r\n\r\n")
    except httptools.HttpParserUpgrade:
        return  # well-formed; RFC 9110 §7.8: an offer to upgrade may be ignored
    except httptools.HttpParserError:
        raise Refused(Reason.HEAD_MALFORMED) from None
