"""What is installed is what is written down."""

import tomllib
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_of_ours_is_in_the_lock() -> None:
    locked = {
        line.split("==")[0]
        for line in (ROOT / "requirements/run.txt").read_text().splitlines()
        if "==" in line
    }
    for name in ("tollgate", "enforcement-gateway"):
        wanted = {entry.split(";")[0].strip() for entry in requires(name) or ()}
        assert wanted - {"tollgate"} <= locked


def test_the_lock_names_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text()


def test_all_packages_share_one_version() -> None:
    versions = {
        tomllib.loads(path.read_text())["project"]["version"]
        for pattern in ("shared/pyproject.toml", "*/*/pyproject.toml")
        for path in ROOT.glob(pattern)
    }
    assert len(versions) == 1
