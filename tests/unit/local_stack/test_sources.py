"""Where the servers of the tests come from."""

import pytest

from local_stack.failures import CannotStart
from local_stack.testing import DATABASE_URL, first_that_works

GIVEN = "given"


def choose(
    monkeypatch: pytest.MonkeyPatch,
    forced: str | None,
    *,
    given: bool,
    binaries: bool = True,
    docker: bool = True,
) -> str:
    def start(what: str, works: bool) -> str:
        if not works:
            raise CannotStart(f"no {what}")
        return what

    monkeypatch.delenv("SERVICES", raising=False)
    if forced is not None:
        monkeypatch.setenv("SERVICES", forced)
    return first_that_works(
        from_environment=GIVEN if given else None,
        from_binaries=lambda: start("binaries", binaries),
        from_container=lambda: start("container", docker),
        variable=DATABASE_URL,
    )


def test_given_then_binaries_then_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, None, given=True) == GIVEN
    assert choose(monkeypatch, None, given=False) == "binaries"
    assert choose(monkeypatch, None, given=False, binaries=False) == "container"


def test_where_nothing_works_everything_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CannotStart, match=r"no binaries\nno container"):
        choose(monkeypatch, None, given=False, binaries=False, docker=False)


@pytest.mark.parametrize(
    ("forced", "chosen"),
    [("env", GIVEN), ("local", "binaries"), ("docker", "container")],
)
def test_one_can_be_forced(
    monkeypatch: pytest.MonkeyPatch, forced: str, chosen: str
) -> None:
    assert choose(monkeypatch, forced, given=True) == chosen


def test_what_is_forced_must_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotStart, match=f"{DATABASE_URL} is not set"):
        choose(monkeypatch, "env", given=False)
    with pytest.raises(CannotStart, match="no binaries"):
        choose(monkeypatch, "local", given=True, binaries=False)
    with pytest.raises(CannotStart, match="no container"):
        choose(monkeypatch, "docker", given=True, docker=False)
    with pytest.raises(CannotStart, match="use env, local or docker"):
        choose(monkeypatch, "dokcer", given=True)
