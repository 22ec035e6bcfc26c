"""Documents that speak of the code say what the code says."""

import re
import runpy
from pathlib import Path

import pytest

from app_registry.application import create_application
from app_registry.settings import Settings
from tollgate.settings import Secret

DOCS = Path(__file__).parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_the_code_says(page: str) -> None:
    """If not: `make docs`."""
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page]()


def test_the_page_of_the_admin_api_names_every_route() -> None:
    settings = Settings(
        database_url=Secret("postgresql://x"),
        amqp_url=Secret("amqp://x"),
        issuer_url="http://x",
        issuer_feed_secret=Secret("x"),
    )
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in create_application(settings).router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    page = (DOCS / "admin-api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`((?:[A-Z]+) /[^`?]*)`", page)) == routes


def test_the_name_of_a_problem_means_one_thing() -> None:
    """Two services that refuse for the same reason say the same."""
    slugs = re.findall(r"^### (.+)$", PAGES["problems.md"](), re.MULTILINE)

    assert len(set(slugs)) == len(slugs)
