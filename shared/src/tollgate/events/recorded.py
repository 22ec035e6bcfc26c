"""An event as it is written, and as the log holds it."""

import hashlib
from datetime import datetime
from functools import cache
from typing import Any

import msgspec


# What a fact holds cannot lead back to it, so the garbage collector need not know it.
class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """A fact. Each subclass names itself with an explicit `tag`.

    `must_understand` travels with the event: a reader that does not know its type
    stops there and ages out, unless it is false; then the reader goes on.
    """

    must_understand: bool = True


class EventMetadata(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=False,
):
    """Who and what was behind an event; never published beyond the services' feeds.

    `actor` is a stream name (`member-…`, `oauth_app-…`) or `system`. `command_id`
    names the command whose retry is answered from the log, and `command_digest` what
    that command was.
    """

    actor: str = "system"
    request_id: str | None = None
    client_address: str | None = None
    command_id: str | None = None
    command_digest: str | None = None


class UnreadableEvent(Exception):
    """An event that a reader must understand and cannot: it stops here."""


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact with its place in the log.

    `data` and `metadata` are JSON kept byte for byte. A reader that may not see them
    gets the SHA-256 digests instead (`withheld`), so that its chain still checks.
    `hash` and the digests are lower-case hex; `recorded_at` is UTC with microseconds.
    """

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    hash: str
    data: msgspec.Raw | None = None
    metadata: msgspec.Raw | None = None
    data_digest: str | None = None
    metadata_digest: str | None = None

    @property
    def withheld(self) -> bool:
        return self.data is None

    @property
    def category(self) -> str:
        """The kind of thing it happened to: `oauth_app` of `oauth_app-app_…`."""
        return self.stream.partition("-")[0]

    @property
    def key(self) -> str:
        """Which one it happened to: `app_…` of `oauth_app-app_…`."""
        return self.stream.partition("-")[2]

    def withholding(self, *, data: bool) -> "RecordedEvent":
        """The same event without its metadata, and without its data if `data`."""
        return RecordedEvent(
            position=self.position,
            stream=self.stream,
            version=self.version,
            type=self.type,
            recorded_at=self.recorded_at,
            hash=self.hash,
            data=None if data else self.data,
            data_digest=self.digest_of_data().hex() if data else None,
            metadata_digest=self.digest_of_metadata().hex(),
        )

    def digest_of_data(self) -> bytes:
        return _digest(self.data, self.data_digest)

    def digest_of_metadata(self) -> bytes:
        return _digest(self.metadata, self.metadata_digest)


def _digest(raw: msgspec.Raw | None, digest: str | None) -> bytes:
    if raw is not None:
        return hashlib.sha256(raw).digest()
    if digest is None:
        raise UnreadableEvent("an event carries neither a body nor its digest")
    try:
        return bytes.fromhex(digest)
    except ValueError as error:
        raise UnreadableEvent("a digest is not hex") from error


_encoder = msgspec.json.Encoder(order="deterministic")


def encode(fact: Any) -> bytes:  # noqa: ANN401 - any Event or EventMetadata
    """The JSON that goes into the log: compact, members in a fixed order."""
    return _encoder.encode(fact)


class EventDecoder:
    """Decodes the data of one log's events by their type.

    An unknown type is None if the event says that it need not be understood, and
    `UnreadableEvent` otherwise, as is data that does not fit its type.
    """

    def __init__(self, types: tuple[type[Event], ...]) -> None:
        self._decoders: dict[str, msgspec.json.Decoder[Event]] = {
            tag_of(event_type): msgspec.json.Decoder(event_type) for event_type in types
        }

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._decoders)

    def decode(self, recorded: RecordedEvent) -> Event | None:
        """The fact of `recorded`; it must not be withheld."""
        if recorded.data is None:
            raise UnreadableEvent(f"event {recorded.position} is withheld")
        decoder = self._decoders.get(recorded.type)
        try:
            if decoder is not None:
                return decoder.decode(recorded.data)
            unknown = msgspec.json.decode(recorded.data, type=_Unknown)
        except msgspec.MsgspecError as error:
            raise UnreadableEvent(
                f"event {recorded.position} does not fit its type {recorded.type}"
            ) from error
        if unknown.must_understand:
            raise UnreadableEvent(
                f"event {recorded.position} has the unknown type {recorded.type}"
            )
        return None


class _Unknown(msgspec.Struct):
    must_understand: bool = True


@cache
def tag_of(event_type: type[Event]) -> str:
    """The permanent tag of an event type, such as `oauth_app.key_added`."""
    tag = event_type.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{event_type.__name__} has no tag")
    return tag
