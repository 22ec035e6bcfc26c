"""The last head of a connection as a template: the next one is mostly the same.

A client sends the same head again and again, but for its bearer token and the digits
of its length. So the head that was understood last is kept as the bytes around these
two holes, and a head that fits it means what the last one meant. What fills a hole is
held to the grammar of the strict reader; a head that does not fit is read by it.
"""

import re

from enforcement_gateway.http.framing import MAX_HEAD, MAX_LENGTH_DIGITS
from enforcement_gateway.http.plans import Plan
from enforcement_gateway.http.routes import Door

_LENGTH = re.compile(
    rb"\r\n(?:content-length):[ \t]*([0-9]+)[ \t]*(?=\r\n)", re.IGNORECASE
).search
_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*").fullmatch
_NOTHING = b""


class HeadTemplate:
    """A head with a hole for the digits of its length, and one for its bearer token.

    `token` and `length` are what filled the holes of the head that fitted last;
    `token` stays empty where the template has no such hole.
    """

    __slots__ = (
        "_after",
        "_after_size",
        "_before",
        "_before_size",
        "_between",
        "_between_size",
        "_known_token",
        "_order",
        "length",
        "plan",
        "token",
    )

    def __init__(
        self, plan: Plan, before: bytes, between: bytes, after: bytes, *, order: int
    ) -> None:
        self.plan = plan
        self.token = _NOTHING
        self.length = 0
        self._before = before
        self._between = between
        self._after = after
        self._order = order
        self._known_token: bytes | None = None
        self._before_size = len(before)
        self._between_size = len(between)
        self._after_size = len(after)

    def fit(self, data: bytes) -> int:
        """Where the body begins, if `data` begins with a head that fits; else 0."""
        if not data.startswith(self._before):
            return 0
        start = self._before_size
        end = data.find(b"\r", start, MAX_HEAD)
        if end < 0:
            return 0
        digits = data[start:end]
        if self._order != _LENGTH_ONLY:
            if not data.startswith(self._between, end):
                return 0
            token = digits
            start = end + self._between_size
            end = data.find(b"\r", start, MAX_HEAD)
            if end < 0:
                return 0
            if self._order == _LENGTH_FIRST:
                token = data[start:end]
            else:
                digits = data[start:end]
            if token != self._known_token:
                if _TOKEN(token) is None:
                    return 0
                self._known_token = token
            self.token = token
        if not data.startswith(self._after, end):
            return 0
        body = end + self._after_size
        if body > MAX_HEAD or len(digits) > MAX_LENGTH_DIGITS or not digits.isdigit():
            return 0
        self.length = int(digits)
        return body


_TOKEN_FIRST, _LENGTH_FIRST, _LENGTH_ONLY = range(3)


def template_of(head: bytes, plan: Plan) -> HeadTemplate | None:
    """The template of a head that has just been understood, if it is apt for one.

    `head` ends with its empty line. Only plain POSTs of a tracking client are: one
    length, no chunks, nothing to wait for, and nothing refused.
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
    length = _LENGTH(head)
    if length is None:
        return None
    token = plan.authorization.token
    if not isinstance(token, bytes):
        if plan.authorization.ours:
            return None
        return HeadTemplate(
            plan,
            head[: length.start(1)],
            _NOTHING,
            head[length.end(1) :],
            order=_LENGTH_ONLY,
        )
    field = understood.authorization
    if field is None or not field.line.endswith(token):
        return None
    line = head.find(b"\r\n" + field.line + b"\r\n")
    end = line + 2 + len(field.line)
    holes = sorted([(end - len(token), end), length.span(1)])
    return HeadTemplate(
        plan,
        head[: holes[0][0]],
        head[holes[0][1] : holes[1][0]],
        head[holes[1][1] :],
        order=_TOKEN_FIRST if holes[1] == length.span(1) else _LENGTH_FIRST,
    )
