"""Forgets what can be of no use any more, by the database's time and never by ours."""

import asyncio
from datetime import timedelta

import structlog

from tollgate.database import LOST, UNDONE, Pool

INTERVAL = timedelta(minutes=10)

_FUNCTIONS = {
    "assertions": "SELECT issuance.prune_spent_jtis()",
    "commands": "SELECT issuance.prune_commands()",
}

logger = structlog.get_logger(__name__)


async def prune_for_ever(pool: Pool) -> None:
    """Prune now and then, until cancelled. Replicas do so beside each other."""
    while True:
        for what, call in _FUNCTIONS.items():
            try:
                count: int = await pool.fetchval(call)
            except (*LOST, *UNDONE) as error:
                logger.warning("cannot prune", what=what, reason=type(error).__name__)
            else:
                logger.debug("pruned", what=what, count=count)
        await asyncio.sleep(INTERVAL.total_seconds())
