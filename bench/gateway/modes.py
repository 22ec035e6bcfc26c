"""The two ways in which the same source of the gateway runs."""

from enum import StrEnum
from pathlib import Path

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import Target

_SOURCES = (ROOT / "services/enforcement-gateway/src", ROOT / "shared/src")


class Mode(StrEnum):
    INTERPRETED = "interpreted"
    COMPILED = "compiled"

    @property
    def settings(self) -> dict[str, str]:
        """What a gateway is started with to run in this mode."""
        if self is Mode.INTERPRETED and _is_built():
            return {"INTERPRETED": "1"}
        return {}

    def target(
        self, interpreted: Target | None, compiled: Target | None
    ) -> Target | None:
        return interpreted if self is Mode.INTERPRETED else compiled


def chosen_modes(bench: Bench) -> tuple[Mode, ...]:
    """Both, as far as `make build` has been run; in a quick run the better one."""
    if not _is_built():
        return (Mode.INTERPRETED,)
    return bench.pick(full=tuple(Mode), quick=(Mode.COMPILED,))


def require_mode(mode: Mode, pid: int) -> None:
    """Raise `CannotMeasure` unless the process runs what the mode says.

    A compiled module is mapped into memory from where the sources are, a source never.
    """
    mapped = Path(f"/proc/{pid}/maps").read_text()
    is_compiled = any(f"{source}/" in mapped for source in _SOURCES)
    if is_compiled is not (mode is Mode.COMPILED):
        raise CannotMeasure(f"a gateway was to run {mode}, and does not")


def _is_built() -> bool:
    return any(next(source.rglob("*.so"), None) for source in _SOURCES)
