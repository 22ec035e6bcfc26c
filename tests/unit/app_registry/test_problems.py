"""Every refusal has its problem type, and no two share one."""

import pytest

from app_registry.domain import errors
from app_registry.http.problems import REFUSALS
from tollgate.errors import DomainError
from tollgate.http.problems import REQUEST_PROBLEMS
from tollgate.oauth import public_keys


def refusals_of(module: object) -> set[type[DomainError]]:
    return {
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, DomainError)
    } - {DomainError}


def test_every_refusal_has_a_problem_type() -> None:
    assert set(REFUSALS) == refusals_of(errors) | refusals_of(public_keys)


def test_each_type_has_a_name_of_its_own() -> None:
    slugs = [kind.slug for kind in (*REFUSALS.values(), *REQUEST_PROBLEMS)]
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize("kind", REFUSALS.values(), ids=lambda kind: kind.slug)
def test_a_refusal_is_never_a_fault_of_ours(kind) -> None:
    assert 400 <= kind.status < 500
    assert kind.title[0].isupper()
    assert kind.advice.endswith(".")
