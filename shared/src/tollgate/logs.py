"""Logs: one JSON object a line on stdout, with the request id and without secrets.

    logger = structlog.get_logger(__name__)
    logger.info("token refused", client_id=client_id, reason="unknown_kid")

The event is a constant phrase, what varies goes into fields. What is bound with
`structlog.contextvars.bind_contextvars(request_id=…)` is in every line of that task.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from tollgate.settings import Secret

# Libraries that report each lost connection with a long traceback, while whoever uses
# them logs one line about it.
_QUIET = ("aio_pika", "aiormq")

# The last line of defence, for what a library puts into its messages: our access
# tokens and JWTs (the signature goes, so that what is left is of no use), PEM private
# keys, Authorization values, and passwords in URLs.
_SECRETS = re.compile(
    rb"(?P<access_token>tg_[0-9A-Za-z]{16}_)[\w-]+"
    rb"|(?P<jwt>\beyJ[\w-]*\.[\w-]*\.)[\w-]+"
    rb"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*KEY-----|$)"
    rb"|(?P<authorization>\b(?:Bearer|Basic) )[\w+/=.~-]{8,}"
    rb"|(?P<url>://[^\s:/@\"\\]+:)[^\s/@\"\\]+(?=@)"
)
_HIDDEN = rb"\g<access_token>\g<jwt>\g<pem>\g<authorization>\g<url>[hidden]"
_MARKS = (b"tg_", b"eyJ", b"PRIVATE KEY", b"Bearer ", b"Basic ", b"://")
"""One of these stands in every secret of `_SECRETS`, and in few lines else: searching
for them costs a hundredth of what the expression does."""


def configure(
    service: str, *, level: str = "INFO", stream: BinaryIO | None = None
) -> None:
    """Send the logs of this process, libraries included, to stdout or `stream`."""
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _line_of(service),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_LoggerFactory(stream or sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        handlers=[_ToStructlog()], level=max(threshold, logging.WARNING), force=True
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Logger(structlog.BytesLogger):
    """Keeps the name it was asked for, to be a field of each line."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


class _LoggerFactory:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __call__(self, name: str = "", *_: object) -> _Logger:
        return _Logger(self._stream, name)


class _ToStructlog(logging.Handler):
    """Passes on what libraries log with the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), exc_info=record.exc_info
        )


def _line_of(service: str) -> structlog.typing.Processor:
    def encode(logger: WrappedLogger, level: str, event: EventDict) -> bytes:
        line = msgspec.json.encode(
            {
                "time": datetime.now(UTC),
                "level": level,
                "service": service,
                "logger": getattr(logger, "name", ""),
                "event": event.pop("event"),
                **event,
            },
            enc_hook=_describe,
        )
        return hide_secrets(line)

    return encode


def hide_secrets(line: bytes) -> bytes:
    """`line` with what looks like a credential cut out of it."""
    if not any(mark in line for mark in _MARKS):
        return line
    return _SECRETS.sub(_HIDDEN, line)


def _describe(value: object) -> str:
    return repr(value) if isinstance(value, Secret) else str(value)
