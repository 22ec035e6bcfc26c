"""The query of a request: known parameters, each once."""

from collections.abc import Mapping

from aiohttp import web

from tollgate.http.problems import INVALID_PARAMETER, RequestRefused

_WORDS = {"true": True, "false": False}


def read_query(request: web.Request, *known: str) -> Mapping[str, str]:
    """The parameters of the request, all of which must be `known`.

    One that is misspelt and ignored could be the one that mattered.
    """
    query = request.query
    for name in query:
        if name not in known:
            expected = ", ".join(known) or "none"
            raise refused(f"unknown parameter: this request knows {expected}")
    if len(set(query)) != len(query):
        raise refused("a parameter is given twice")
    return query


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is `true`, or `false` as if it were not there."""
    text = query.get(name, "false")
    if text not in _WORDS:
        raise refused(f"{name} is true or false")
    return _WORDS[text]


def refused(detail: str) -> RequestRefused:
    return RequestRefused(INVALID_PARAMETER, detail)
