"""The catalog of source types: what a source can be, and where OAuth can be had.

Slugs are stored in events and stay. OAuth is for sources whose code runs where a
private key can be kept; one in a browser, on a phone or in somebody's cloud cannot.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class SourceKind(StrEnum):
    """Where the code of a source runs."""

    SERVER = "server"
    FUNCTION = "function"
    WEBSITE = "website"
    MOBILE = "mobile"
    CLOUD = "cloud"


class SourceType(msgspec.Struct, frozen=True):
    """`oauth` tells whether an OAuth app can be connected to such a source."""

    slug: str
    name: str
    kind: SourceKind
    oauth: bool = False


_TYPES = (
    SourceType("http-api", "HTTP API", SourceKind.SERVER, oauth=True),
    SourceType("node-js", "Node.js", SourceKind.SERVER, oauth=True),
    SourceType("python", "Python", SourceKind.SERVER, oauth=True),
    SourceType("source-function", "Source function", SourceKind.FUNCTION, oauth=True),
    SourceType("amp", "AMP", SourceKind.SERVER),
    SourceType("clojure", "Clojure", SourceKind.SERVER),
    SourceType("go", "Go", SourceKind.SERVER),
    SourceType("java", "Java", SourceKind.SERVER),
    SourceType("kotlin", "Kotlin", SourceKind.SERVER),
    SourceType("net", ".NET", SourceKind.SERVER),
    SourceType("php", "PHP", SourceKind.SERVER),
    SourceType("pixel-tracking-api", "Pixel Tracking API", SourceKind.SERVER),
    SourceType("ruby", "Ruby", SourceKind.SERVER),
    SourceType("javascript", "Javascript", SourceKind.WEBSITE),
    SourceType("android", "Android", SourceKind.MOBILE),
    SourceType("apple", "Apple", SourceKind.MOBILE),
    SourceType("flutter", "Flutter", SourceKind.MOBILE),
    SourceType("react-native", "React Native", SourceKind.MOBILE),
    SourceType("unity", "Unity", SourceKind.MOBILE),
    SourceType("xamarin", "Xamarin", SourceKind.MOBILE),
    SourceType("cloud-app", "Cloud app", SourceKind.CLOUD),
)

SOURCE_TYPES: Mapping[str, SourceType] = MappingProxyType(
    {source_type.slug: source_type for source_type in _TYPES}
)


def kind_of(slug: str) -> SourceKind | None:
    """The kind of a source of that type; None for a type of another version."""
    known = SOURCE_TYPES.get(slug)
    return None if known is None else known.kind


def types_with_oauth(more_server_types: Iterable[str]) -> Mapping[str, SourceType]:
    """The catalog of a deployment that has OAuth for more of the server types.

    Raises `ValueError` for a type that is unknown or does not run on a server.
    """
    types = dict(SOURCE_TYPES)
    for slug in more_server_types:
        known = types.get(slug)
        if known is None:
            raise ValueError(f"{slug!r} is not a type of the catalog")
        if known.kind is not SourceKind.SERVER:
            raise ValueError(f"{slug!r} is not a server type: it cannot keep a key")
        types[slug] = msgspec.structs.replace(known, oauth=True)
    return MappingProxyType(types)
