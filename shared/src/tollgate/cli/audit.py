"""`tollgate audit`: what happened, what was true at a moment, is the log untouched."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import click
import msgspec

from tollgate.cli.stack import Stack, required
from tollgate.database import open_pool
from tollgate.eventlog import EventLog, LogUnavailable, open_event_log
from tollgate.eventlog.chain import ChainBroken
from tollgate.events import UnreadableEvent
from tollgate.registry.report import describe
from tollgate.registry.state import RegistryState

LOG_DATABASES = {
    "registry": "app_registry",
    "tokens": "token_issuer",
    "issuance": "token_issuer",
}
PAGE = 200
DAMAGED = 3
"""Exit status when a log is not what was written."""

T = TypeVar("T")


@click.group()
def audit() -> None:
    """Read the logs: what happened, what was true when, is anything changed."""


@audit.command()
@click.option("--type", "event_type", help="Only this type, e.g. oauth_app.key_added.")
@click.option("--actor", help="Only by this actor, e.g. member-mem_….")
@click.option("--stream", help="Only about this thing, e.g. source-src_….")
@click.option("--since", type=click.DateTime(), help="Not before this time (UTC).")
@click.option("--until", type=click.DateTime(), help="Before this time (UTC).")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, whole.")
@click.option("--registry-url", envvar="TOLLGATE_REGISTRY_URL")
@click.option(
    "--access-token",
    envvar="TOLLGATE_ACCESS_TOKEN",
    help="An owner's access token; better as the variable than as an argument.",
)
@click.pass_obj
def events(
    stack: Stack,
    *,
    event_type: str | None,
    actor: str | None,
    stream: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    as_json: bool,
    registry_url: str | None,
    access_token: str | None,
) -> None:
    """The events of the workspace, oldest first: registry, tokens and issuance."""
    url = required(registry_url or stack.registry_url, "--registry-url")
    secret = required(access_token or stack.owner_token, "--access-token")
    filters = {
        "type": event_type,
        "actor": actor,
        "stream": stream,
        "since": _as_utc(since),
        "until": _as_utc(until),
    }
    query = {name: value for name, value in filters.items() if value is not None}

    async def show() -> None:
        shown = 0
        async for event in _audit_events(url, secret, query):
            if limit is not None and shown == limit:
                return
            shown += 1
            click.echo(msgspec.json.encode(event) if as_json else _line_of(event))

    _run(show())


@audit.command()
@click.option(
    "--at",
    required=True,
    metavar="TIME|POSITION",
    help="A moment (2026-01-31T12:00:00Z) or a position of the registry log.",
)
@click.option("--workspace", "workspace_id", help="Only this workspace.")
@click.option("--write-keys", is_flag=True, help="Show write keys whole.")
@click.option("--database-url", envvar="TOLLGATE_REGISTRY_DATABASE_URL")
@click.pass_obj
def state(
    stack: Stack,
    *,
    at: str,
    workspace_id: str | None,
    write_keys: bool,
    database_url: str | None,
) -> None:
    """The workspace as it was, folded from the registry log."""
    url = required(
        database_url or stack.database_urls.get("app_registry"), "--database-url"
    )
    position, moment = _place(at)

    async def show() -> None:
        folded = RegistryState()
        async with _opened("registry", url) as log:
            end = position if moment is None else await log.position_at(moment)
            reached = await log.replay(folded, to=end)
            last = (await log.read_after(reached - 1, limit=1))[-1:]
        if position is not None and reached < position:
            raise click.ClickException(
                f"the log ends at position {reached}, before {position}"
            )
        document = {
            "position": reached,
            "recorded_at": last[0].recorded_at if last else None,
            "workspaces": describe(
                folded, workspace_id=workspace_id, write_keys=write_keys
            ),
        }
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))

    _run(show())


@audit.command()
@click.argument("logs", nargs=-1, type=click.Choice(list(LOG_DATABASES)))
@click.option("--registry-database-url", envvar="TOLLGATE_REGISTRY_DATABASE_URL")
@click.option("--issuer-database-url", envvar="TOLLGATE_ISSUER_DATABASE_URL")
@click.pass_obj
def verify(
    stack: Stack,
    logs: tuple[str, ...],
    *,
    registry_database_url: str | None,
    issuer_database_url: str | None,
) -> None:
    """Check the hash chain of each log, from its first event to its head."""
    given = {
        "app_registry": (registry_database_url, "--registry-database-url"),
        "token_issuer": (issuer_database_url, "--issuer-database-url"),
    }
    broken = False
    for name in logs or LOG_DATABASES:
        database = LOG_DATABASES[name]
        url, option = given[database]
        url = required(url or stack.database_urls.get(database), option)
        broken |= not _run(_verify(name, url))
    if broken:
        sys.exit(DAMAGED)


async def _verify(name: str, url: str) -> bool:
    async with _opened(name, url) as log:
        head = await log.head(also_of_standby=True)
        with click.progressbar(
            length=head.position, label=name, file=sys.stderr
        ) as progress:
            try:
                head = await log.verify(on_progress=progress.update)
            except ChainBroken as damage:
                click.echo(f"{name}: DAMAGED {damage}")
                return False
    click.echo(f"{name}: {head.position} events verified, head {head.hash.hex()}")
    return True


@asynccontextmanager
async def _opened(name: str, url: str) -> AsyncIterator[EventLog]:
    async with (
        open_pool(url, application_name="tollgate audit", max_size=1) as pool,
        open_event_log(name, pool, url, application_name="tollgate audit") as log,
    ):
        yield log


async def _audit_events(
    url: str, secret: str, query: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        cursor: str | None = None
        while True:
            page = {**query, "limit": str(PAGE)}
            if cursor is not None:
                page["cursor"] = cursor
            async with session.get(
                f"{url.rstrip('/')}/v1/audit/events", params=page
            ) as answer:
                body = await answer.json(content_type=None)
                if answer.status != 200:  # noqa: PLR2004
                    raise click.ClickException(
                        f"the registry answered {answer.status}:"
                        f" {body.get('detail') or body.get('title')}"
                    )
            for event in body["data"]:
                yield event
            cursor = body.get("next_cursor")
            if cursor is None:
                return


def _line_of(event: dict[str, Any]) -> str:
    """One event for a person: when, which log and place, what, about what, by whom."""
    data = {
        name: value
        for name, value in (event.get("data") or {}).items()
        if name not in ("type", "must_understand", "pem") and value is not None
    }
    details = " ".join(f"{name}={_short(value)}" for name, value in data.items())
    return (
        f"{event['recorded_at']}  {event['log']}#{event['position']:<6}"
        f" {event['type']:<32} {event['stream']}  by {event['actor']}  {details}"
    ).rstrip()


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _as_utc(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")


def _place(at: str) -> tuple[int | None, datetime | None]:
    """`at` as a position or as an aware moment; a moment without a zone is UTC."""
    if at.isascii() and at.isdigit():
        return int(at), None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise click.BadParameter(
            "neither a position nor a time such as 2026-01-31T12:00:00Z",
            param_hint="--at",
        ) from None
    return None, moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; what cannot be reached or read is one line, not a traceback."""
    try:
        return asyncio.run(work)
    except LogUnavailable:
        raise click.ClickException("the database cannot be reached or read") from None
    except UnreadableEvent as error:
        raise click.ClickException(str(error)) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise click.ClickException(
            f"the service cannot be reached ({type(error).__name__})"
        ) from None
