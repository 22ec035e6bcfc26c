"""The catalog, and what a deployment may add to it."""

import pytest

from tollgate.registry.source_types import (
    SOURCE_TYPES,
    SourceKind,
    kind_of,
    types_with_oauth,
)


def test_oauth_is_for_four_types() -> None:
    with_oauth = {slug for slug, known in SOURCE_TYPES.items() if known.oauth}
    assert with_oauth == {"http-api", "node-js", "python", "source-function"}


def test_every_server_type_of_segment_is_in_the_catalog() -> None:
    servers = {
        slug for slug, known in SOURCE_TYPES.items() if known.kind is SourceKind.SERVER
    }
    assert servers == {
        *("amp", "clojure", "go", "http-api", "java", "kotlin", "net", "node-js"),
        *("php", "pixel-tracking-api", "python", "ruby"),
    }


def test_a_deployment_may_add_server_types() -> None:
    types = types_with_oauth(["go", "ruby"])
    assert types["go"].oauth
    assert not types["java"].oauth
    assert not SOURCE_TYPES["go"].oauth


@pytest.mark.parametrize("slug", ["javascript", "android", "cloud-app", "cobol", ""])
def test_other_types_cannot_be_added(slug: str) -> None:
    with pytest.raises(ValueError, match="type"):
        types_with_oauth([slug])


def test_a_type_of_another_version_has_no_kind() -> None:
    assert kind_of("python") is SourceKind.SERVER
    assert kind_of("cobol") is None
