"""Writes the documents that speak of the code from the code: `make docs`.

tests/contract/test_documents.py fails when one of them is not what this would write.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import app_registry.settings
import enforcement_gateway.settings
import token_issuer.settings
from local_stack.choices import PREFIX as CHOICES_PREFIX
from local_stack.choices import Choices
from tollgate.events.reference import events_page
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


PAGES: Mapping[str, Callable[[], str]] = {
    "events.md": events_page,
    "settings.md": settings_page,
}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (DOCS / page).write_text(text(), encoding="utf-8")
