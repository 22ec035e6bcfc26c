"""The first path through the admin API: from an owner to a source that enforces."""

from app_registry.testing.api import Api
from tollgate.testing.keys import signing_key


async def test_from_an_owner_to_enforcement(owner: Api) -> None:
    workspace = await owner.get("/v1/workspace")
    assert workspace.status == 200
    assert workspace.body["name"].startswith("Acme ")

    source = await owner.made("/v1/sources", {"name": "Backend", "type": "python"})
    assert source["enforcement"] == "off"
    key = await owner.made(f"/v1/sources/{source['id']}/write-keys")
    assert len(key["write_key"]) == 32

    client_key = signing_key().public
    app = await owner.made(
        "/v1/oauth-apps",
        {
            "name": "Shop",
            "public_key": {"name": "first", "pem": client_key.pem},
            "token_lifetime": "1d",
            "scopes": ["tracking_api:write"],
        },
    )
    assert [each["kid"] for each in app["keys"]] == [client_key.kid]

    connected = await owner.put(
        f"/v1/sources/{source['id']}/oauth-app", {"app_id": app["id"]}
    )
    assert (connected.status, connected.body["app_id"]) == (200, app["id"])
    enforced = await owner.put(
        f"/v1/sources/{source['id']}/enforcement", {"mode": "enforce"}
    )
    assert enforced.body["enforcement"] == "enforce"

    shown = await owner.get(f"/v1/sources/{source['id']}")
    assert shown.body == {
        "id": source["id"],
        "name": "Backend",
        "type": "python",
        "app_id": app["id"],
        "enforcement": "enforce",
        "version": 4,
        "write_keys": [key["write_key"]],
    }
    assert shown.etag == '"4"'
    shown = await owner.get(f"/v1/oauth-apps/{app['id']}")
    assert shown.body["sources"] == [source["id"]]
