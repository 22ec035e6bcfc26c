"""Writes the documents that speak of the code from the code: `make docs`.

tests/contract/test_documents.py fails when one of them is not what this would write.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import app_registry.http.problems
import app_registry.settings
import enforcement_gateway.settings
import token_issuer.http.problems
import token_issuer.settings
from local_stack.choices import PREFIX as CHOICES_PREFIX
from local_stack.choices import Choices
from tollgate.events.reference import events_page
from tollgate.http.problems import REQUEST_PROBLEMS, ProblemType
from tollgate.messaging.feed import FEED_PROBLEMS
from tollgate.settings import settings_table

DOCS = Path(__file__).parent

SETTINGS_INTRODUCTION = """\
# Settings

Every setting of every service, and of `make run`.
This page is written from the code by `make docs`, and a test keeps it true.

Settings are environment variables, read once at the start; a wrong one stops the start
with one line that names it.
`<NAME>_FILE` names a file that holds the value instead, as orchestrators hand over
secrets.
Durations are seconds, or a number with `ms`, `s`, `m`, `h` or `d`.
"""

LAUNCHER_INTRODUCTION = """\
## `make run`

Nothing needs to be set: Postgres and RabbitMQ are started, on free ports.
A setting of a service that stands in the environment reaches the service, unless the
launcher decides it.
"""

SERVICES = {
    "app-registry": (app_registry.settings.Settings, "APP_REGISTRY"),
    "token-issuer": (token_issuer.settings.Settings, "TOKEN_ISSUER"),
    "enforcement-gateway": (
        enforcement_gateway.settings.Settings,
        "ENFORCEMENT_GATEWAY",
    ),
}


def settings_page() -> str:
    """The text of docs/settings.md."""
    sections = [
        f"## {name}\n\n{settings_table(shape, prefix)}\n"
        for name, (shape, prefix) in SERVICES.items()
    ]
    launcher = f"{LAUNCHER_INTRODUCTION}\n{settings_table(Choices, CHOICES_PREFIX)}\n"
    return "\n".join([SETTINGS_INTRODUCTION, *sections, launcher])


PROBLEMS_INTRODUCTION = """\
# Problems

Every refusal of the admin API and the feed, as `application/problem+json` (RFC 9457).
This page is written from the code by `make docs`, and a test keeps it true.

`type` is `urn:tollgate:problem:` and the name of a section below; it stays the same for
ever, while titles and details may be reworded.
`detail` says what is wrong with this request, `request_id` is what the operator finds
in the log.
A refused command has changed nothing.
The router's own refusals (404 for a path that does not exist, 405 for a method that it
does not know) have the type `about:blank`.
"""


def problems_page() -> str:
    """The text of docs/problems.md."""
    of_registry = tuple(app_registry.http.problems.REFUSALS.values())
    of_issuer = tuple(token_issuer.http.problems.REFUSALS.values())
    sections = {
        "Of the request": REQUEST_PROBLEMS,
        "Of the app-registry": of_registry,
        "Of the token-issuer": tuple(
            kind for kind in of_issuer if kind not in of_registry
        ),
        "Of the feed between services": FEED_PROBLEMS,
    }
    return "\n".join(
        [
            PROBLEMS_INTRODUCTION,
            *(
                f"## {title}\n\n" + "\n".join(map(_problem_section, kinds))
                for title, kinds in sections.items()
            ),
        ]
    )


def _problem_section(kind: ProblemType) -> str:
    return f"### {kind.slug}\n\n{kind.status}: {kind.title}.\n{kind.advice}\n"


RESULTS = DOCS.parent / "bench" / "results" / "latest.json"
TABLE_BEGINS = "<!-- what `make bench` measured last; `make docs` writes it here -->"
TABLE_ENDS = "<!-- end of what it measured -->"


def performance_page() -> str:
    """The text of docs/performance.md, which is written by hand around one table."""
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    before, begins, rest = page.partition(TABLE_BEGINS)
    _, ends, after = rest.partition(TABLE_ENDS)
    outcome = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"{before}{begins}\n\n{measured_table(outcome)}\n{ends}{after}"


def measured_table(outcome: dict[str, Any]) -> str:
    """A run as Markdown: the machine, then every row under the title of its case."""
    machine, programs = outcome["machine"], outcome["programs"]
    versions = ", ".join(f"{name} {number}" for name, number in programs.items())
    place = (
        f"{machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_gib']:g} GiB, {machine['system']},"
        f" Linux {machine['kernel']}"
    )
    lines = [
        f"Measured on {outcome['at'][:10]} at commit {machine['commit']}: {place}.",
        f"Programs: {versions}.",
        "",
    ]
    for case in outcome["cases"]:
        lines += [
            f"**{case['title']}**",
            "",
            "| what | ours | peer | ratio (rounds) | target | |",
            "|---|---|---|---|---|---|",
            *(_measured_row(row) for row in case["rows"]),
            "",
        ]
    return "\n".join(lines)


def _measured_row(row: dict[str, Any]) -> str:
    what = f"{row['what']}, {row['mode']}" if row["mode"] else row["what"]
    said = [
        f"{each['name']} {each['number']:,g} {each['unit']}" for each in row["details"]
    ]
    ratio = ""
    if row["ratio"] is not None:
        rounds = row["ratio_of_each_round"]
        ratio = f"{row['ratio']:.2f} × ({min(rounds):.2f}–{max(rounds):.2f})"
    target = row["target"]
    bound = ""
    if target is not None:
        times = " ×" if target["subject"] == "ratio" else ""
        bound = f"{target['bound']} {target['number']:g}{times}"
    ours, theirs = (_measured_figure(row[whose]) for whose in ("ours", "theirs"))
    cells = (
        f"{what}<br>{', '.join(said).rstrip()}" if said else what,
        f"{ours} {row['unit'] or ''}".strip(),
        f"{row['peer'] or ''} {theirs}".strip(),
        ratio,
        bound,
        row["verdict"],
    )
    return f"| {' | '.join(cells)} |"


def _measured_figure(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    number = figure["median"]
    return f"{number:,.0f}" if number >= WHOLE_FROM else f"{number:.3g}"


WHOLE_FROM = 1000
"""From here on decimals say nothing."""


PAGES: Mapping[str, Callable[[], str]] = {
    "events.md": events_page,
    "performance.md": performance_page,
    "problems.md": problems_page,
    "settings.md": settings_page,
}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (DOCS / page).write_text(text(), encoding="utf-8")
