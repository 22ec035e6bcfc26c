"""The last head of a connection as a template: the next one is mostly the same.

A client sends the same head again and again, but for its bearer token, the digits of
its length, and perhaps a field that is another each time, such as a trace id. So the
head that was understood last is kept as the bytes around these holes, and a head that
fits it means what the last one meant. What fills a hole is held to the grammar of the
strict reader; a head that does not fit is read by it.

The connections of one client send alike, and share theirs: see `Templates`.
"""

import re
from itertools import zip_longest

from stringzilla import find_first_not_of

from enforcement_gateway import pieces
from enforcement_gateway.domain.authorization import KnownToken
from enforcement_gateway.domain.denials import Refused
from enforcement_gateway.http.framing import (
    MAX_HEAD,
    MAX_LENGTH_DIGITS,
    Field,
    Kind,
    read_field,
)
from enforcement_gateway.http.plans import Plan, outlined
from enforcement_gateway.http.routes import Door
from enforcement_gateway.known_tokens import KnownTokens
from enforcement_gateway.upstream.forwarding import Outline, Peer
from tollgate.oauth.jws import OPENINGS

MAX_VARYING = 4
"""Fields that may be another each time; with more there is little to gain."""

MAX_SHARED = 512
"""Templates kept for connections to come, and peers whose last one is known."""

MAX_SHARED_HEAD = 4 * 1024
"""Octets of a head that others may share; one that is larger serves its connection."""

_TOKEN_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_VALUE_OCTETS = bytes(range(0x20, 0x7F))
_DIGITS = re.compile(rb"[0-9]+").search

_IN_TOKEN, _IN_LENGTH, _IN_FORWARDED, _IN_DROPPED = range(4)
"""What may fill a hole: a token, digits, the value of a field that is passed on, or
of one that is not."""

_USUAL = ([_IN_TOKEN, _IN_LENGTH], [_IN_LENGTH])


class HeadTemplate:
    """A head with holes, and how requests with such a head go on.

    `token`, `digits` (and the `length` they tell) and `values` are what filled the
    holes of the head that fitted last; `token` is None where the template has no such
    hole, and `known` is what that token was verified to be, if it was. `values` are
    those of the varying fields that are passed on, with their outer space. They are
    taken before another head is held against it: connections share it.
    `is_everyday`: nothing but its token and its body can speak against such a request;
    `pool` is where it goes then, and None where more can.
    `refuses`: the last one of these was refused for its token, and others like it may
    be read by `tokens_of`.
    """

    __slots__ = (
        "_after",
        "_after_size",
        "_holes",
        "_is_usual",
        "_lead",
        "_lead_size",
        "_middle",
        "_middle_size",
        "_repeats",
        "_rest",
        "_rest_size",
        "_start",
        "_start_size",
        "_token_end",
        "_varies",
        "_whole",
        "body_at",
        "digits",
        "fields",
        "is_everyday",
        "known",
        "length",
        "outline",
        "plan",
        "pool",
        "refuses",
        "token",
        "values",
        "varying",
    )

    def __init__(
        self,
        *,
        plan: Plan,
        outline: Outline,
        fields: list[Field],
        varying: frozenset[int],
        holes: list[tuple[bytes, int, int]],
        after: bytes,
    ) -> None:
        self.plan = plan
        self.outline = outline
        self.fields = fields
        self.varying = varying
        self.token: bytes | None = None
        self.known: KnownToken | None = None
        self.length = 0
        self.digits = b""
        self.refuses = False
        self.is_everyday = (
            plan.body_decides
            and plan.authorization.ours
            and plan.head.keep_alive
            and not plan.must_close
        )
        self.pool = plan.pool if self.is_everyday else None
        self.values: list[bytes] = []
        self._holes = holes
        self._varies = bool(varying)
        self._after = after
        self._after_size = len(after)
        # Of a usual head: what stands before its token, and between that and its
        # length; where the token of the last one ended, all behind it, and where the
        # head ended with that: 0 if it was too long.
        self._is_usual = [kind for _, _, kind in holes] in _USUAL
        self._lead = self._middle = b""
        self._lead_size = self._middle_size = 0
        if self._is_usual:
            (self._lead, self._lead_size, _), *others = holes
            for self._middle, self._middle_size, _ in others:
                pass
        self._token_end = 0
        self._rest = b""
        self._rest_size = self.body_at = 0
        # Whether the last one had the token of the one before; then, all up to its
        # length, and all of it, unless its length was another.
        self._repeats = False
        self._start = self._whole = b""
        self._start_size = 0

    @property
    def make(self) -> tuple[object, ...]:
        """What tells it from others of one peer: the octets, and what may fill holes.

        What else is known of it follows from these.
        """
        return (self._after, *self._holes)

    @property
    def size(self) -> int:
        """Octets of a head that fits, without what fills its holes."""
        return self._after_size + sum(size for _, size, _ in self._holes)

    def expect_more(self) -> None:
        """One as the last that fitted was refused: see `tokens_of`."""
        self.refuses = bool(self._token_end and self.body_at)

    def tokens_of(self, requests: tuple[bytes, ...]) -> list[bytes] | None:
        """What their tokens are, if all are as the last that fitted but for these.

        Each is whole then, with a body as long; so where it ends tells where its token
        does. None if one is not: `fit` tells which.
        """
        start, end = self._lead_size, self._rest_size + self.length
        sizes = [*map(len, requests)]
        if (
            not (self._token_end and self.body_at)
            or min(sizes) <= start + end
            or max(sizes) > MAX_HEAD + self.length
            or not pieces.all_have(requests, self._lead, 0)
            or not pieces.all_have(requests, self._rest, -end)
        ):
            return None
        tokens = pieces.cut(requests, start, -end)
        # They are searched as one: that costs little more than it does for one of them.
        odd = find_first_not_of(b"".join(tokens), _TOKEN_OCTETS)
        return tokens if odd < 0 or all(map(_may_be_token, tokens)) else None

    def fit(self, data: bytes, sound: KnownTokens) -> int:
        """Where the body begins, if `data` begins with a head that fits; else 0.

        `sound` are tokens that were verified: nothing in them need be looked at again.
        """
        if self._whole and pieces.begins(data, self._whole, 0):
            return self.body_at
        end = self._token_end
        if self._start and pieces.begins(data, self._start, 0):
            digits = self.digits
            if not self._read_length(data, self._start_size):
                return 0
            at = self.body_at if pieces.begins(data, self._rest, end) else 0
            if self.digits is digits:
                self._whole = data[:at]
            return at
        if not end or not pieces.begins(data, self._lead, 0):
            return self._fit_anew(data, sound)
        start = self._lead_size
        if pieces.begins(data, self._rest, end):
            at = self.body_at
            # Mostly only its token is another, and was verified before.
            known = sound.between(data, start, end)
            if known is not None and known is not self.known and at:
                self.token = known.text
                self.known = known
                self._repeats = False
                self._start = self._whole = b""
                return at
        elif pieces.begins(data, self._middle, end):
            at = self._read_end(data, self._read_length(data, end + self._middle_size))
        else:
            return self._fit_anew(data, sound)
        if start == end:
            return at  # it has no hole for a token
        if not at or not self._take(data, start, end, sound):
            return 0
        if self._repeats:
            self._start_size = end + self._middle_size
            self._start = data[: self._start_size]
            self._whole = data[:at]
        return at

    def _fit_anew(self, data: bytes, sound: KnownTokens) -> int:
        """As `fit`, hole by hole."""
        at = 0
        if self._varies:
            self.values = []
        for before, before_size, kind in self._holes:
            if not pieces.begins(data, before, at):
                return 0
            at += before_size
            if kind == _IN_LENGTH:
                at = self._read_length(data, at)
            elif kind == _IN_TOKEN:
                at = self._read_token(data, at, sound)
            else:
                end = data.find(b"\r", at, MAX_HEAD)
                if end < 0:
                    return 0
                value = data[at:end]
                if value.translate(None, _VALUE_OCTETS):  # deletes what may be in it
                    return 0
                if kind == _IN_FORWARDED:
                    self.values.append(value)
                at = end
            if not at:
                return 0
        at = self._read_end(data, at)
        if at and self._is_usual:
            self._token_end = at - self._rest_size
            self.body_at = at
        return at

    def _read_end(self, data: bytes, at: int) -> int:
        """The end of the head if what is behind the last hole, `at`, fits; else 0."""
        if not at or not pieces.begins(data, self._after, at):
            return 0
        at += self._after_size
        return at if at <= MAX_HEAD else 0

    def _read_length(self, data: bytes, start: int) -> int:
        """The end of the digits that start there; 0 if there are none.

        Zeros before them are for the strict reader.
        """
        end = data.find(b"\r", start, start + MAX_LENGTH_DIGITS + 1)
        if end <= start:
            return 0
        digits = data[start:end]
        if digits != self.digits:
            if not digits.isdigit() or digits[0] == _ZERO:
                return 0
            self.digits = digits
            self.length = int(digits)
            self._whole = b""
            self._rest = self._middle + digits + self._after
            self._rest_size = len(self._rest)
            at = self._token_end + self._rest_size
            self.body_at = at if at <= MAX_HEAD else 0
        return end

    def _read_token(self, data: bytes, start: int, sound: KnownTokens) -> int:
        """The end of the token that starts there; 0 if none."""
        end = data.find(b"\r", start, MAX_HEAD)
        if end <= start:
            return 0
        return end if self._take(data, start, end, sound) else 0

    def _take(self, data: bytes, start: int, end: int, sound: KnownTokens) -> bool:
        """Let what stands there fill the hole; False if it may not (RFC 6750 §2.1).

        What is `sound` was held to that before, and so was what is known since the last
        head: that is looked at first where one was as the one before. What does not
        begin as a JWS is not `sound`, and not looked for.
        """
        last = self.known
        if self._repeats and last is not None:
            text = last.text
            if len(text) == end - start and pieces.begins(data, text, start):
                return True
        known = sound.between(data, start, end) if data[start] in OPENINGS else None
        if known is None:
            token = data[start:end]
            if not _may_be_token(token):
                return False
        else:
            token = known.text
            if known is last:
                self._repeats = True
                return True
        self.token = token
        self.known = known
        self._repeats = False
        self._start = self._whole = b""
        return True


_ZERO = ord("0")


def _may_be_token(text: bytes) -> bool:
    """Whether it is one by the grammar of RFC 6750 §2.1."""
    odd = find_first_not_of(text, _TOKEN_OCTETS)
    return odd < 0 or (odd > 0 and not text[odd:].strip(b"="))


class Templates:
    """Of all connections of a worker: one for all heads of one make from one peer.

    A connection begins with the last one of its peer, so that the heads of most clients
    are read in full once, not once for each connection. And what a thousand connections
    use is one object, which is in the processor's caches.
    """

    __slots__ = ("_last", "_shared")

    def __init__(self) -> None:
        self._last: dict[Peer, HeadTemplate] = {}
        self._shared: dict[tuple[object, ...], HeadTemplate] = {}

    def last_of(self, peer: Peer) -> HeadTemplate | None:
        return self._last.get(peer)

    def share(self, template: HeadTemplate, peer: Peer) -> HeadTemplate:
        """It, or the same from another connection of that peer."""
        if template.size > MAX_SHARED_HEAD:
            return template
        if len(self._shared) >= MAX_SHARED or len(self._last) >= MAX_SHARED:
            self._shared.clear()
            self._last.clear()
        shared = self._shared.setdefault((peer, *template.make), template)
        self._last[peer] = shared
        return shared


def template_of(
    head: bytes, plan: Plan, peer: Peer, last: HeadTemplate | None = None
) -> HeadTemplate | None:
    """The template of a head that has just been understood, if it is apt for one.

    `head` ends with its empty line. Only plain POSTs of a tracking client are: one
    length, no chunks, nothing to wait for, and nothing refused. Fields in which it
    differs from the head of the `last` template are taken for varying ones.
    """
    understood = plan.head
    if (
        plan.refusal is not None
        or plan.door is not Door.TRACKING
        or understood.method != b"POST"
        or understood.chunked
        or understood.expects_continue
    ):
        return None
    line, *lines = head[:-4].split(b"\r\n")
    try:
        fields = [read_field(each) for each in lines]
    except Refused:
        return None
    varying = frozenset[int]() if last is None else _varying(fields, last)
    holes: list[tuple[bytes, int, int]] = []
    before = line
    has_length = False
    varying_names: dict[bytes, bytes] = {}
    for index, field in enumerate(fields):
        before += b"\r\n"
        if index in varying:
            name = field.line[: field.line.index(b":") + 1]
            start, end = len(name), len(field.line)
            kind = _IN_DROPPED
            if field.line in understood.forwarded:
                kind = _IN_FORWARDED
                varying_names[field.line] = name
        elif field.kind is Kind.CONTENT_LENGTH:
            digits = _DIGITS(field.line)
            if digits is None:
                return None
            start, end = digits.span()
            kind, has_length = _IN_LENGTH, True
        elif field.kind is Kind.AUTHORIZATION and plan.authorization.ours:
            token = plan.authorization.token
            if not isinstance(token, bytes) or not field.line.endswith(token):
                return None
            start, end = len(field.line) - len(token), len(field.line)
            kind = _IN_TOKEN
        else:
            before += field.line
            continue
        before += field.line[:start]
        holes.append((before, len(before), kind))
        before = field.line[end:]
    outline = outlined(plan, peer, varying_names)
    if not has_length or outline is None:
        return None
    return HeadTemplate(
        plan=plan,
        outline=outline,
        fields=fields,
        varying=varying,
        holes=holes,
        after=before + b"\r\n\r\n",
    )


def _varying(fields: list[Field], last: HeadTemplate) -> frozenset[int]:
    """Which fields are another each time, if the heads are of the same make at all."""
    lines = [field.line for field in fields]
    found = set()
    for index, (ours, theirs) in enumerate(zip_longest(fields, last.fields)):
        if ours is None or theirs is None or ours.name != theirs.name:
            return frozenset()
        if (
            (ours.line != theirs.line or index in last.varying)
            and ours.kind in (Kind.ORDINARY, Kind.DROPPED)
            and lines.count(ours.line) == 1
        ):
            found.add(index)
    return frozenset(found) if len(found) <= MAX_VARYING else frozenset()
