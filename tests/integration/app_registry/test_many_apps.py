"""A hundred thousand apps in one workspace."""

from app_registry.testing.api import Api
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events.registry import OAuthAppCreated
from tollgate.testing.waiting import until


async def test_pages_hold_at_a_hundred_thousand_apps(owner: Api, log: EventLog) -> None:
    workspace = (await owner.get("/v1/workspace")).body["id"]
    count = 100_000
    for start in range(0, count, 1000):
        await log.append(
            AppendGroup(
                events=[
                    (
                        f"oauth_app-app_{n}",
                        OAuthAppCreated(
                            workspace_id=workspace,
                            name=f"app {n}",
                            token_lifetime=86400,
                            scopes=("tracking_api:write",),
                        ),
                    )
                    for n in range(start, start + 1000)
                ]
            )
        )
    await level(owner, count)
    cursor, seen = "", 0
    for _ in range(40):
        page = (await owner.get(f"/v1/oauth-apps?limit=50{cursor}")).body
        assert [each["id"] for each in page["data"]] == [
            f"app_{n}" for n in range(seen, seen + 50)
        ]
        seen += 50
        cursor = f"&cursor={page['next_cursor']}"


async def level(owner: Api, count: int) -> None:
    """Wait until the last of `count` apps is known; a long log takes a while."""

    async def known() -> bool:
        return (await owner.get(f"/v1/oauth-apps/app_{count - 1}")).status == 200

    await until(known, within=60)
