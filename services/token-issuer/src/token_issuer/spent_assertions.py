"""Forgets assertions that can no longer be presented, by the time of the log."""

import asyncio
from datetime import timedelta

import structlog

from tollgate.database import LOST, UNDONE, Pool

INTERVAL = timedelta(minutes=10)

logger = structlog.get_logger(__name__)


async def forget_spent_assertions(pool: Pool) -> None:
    """Prune now and then, until cancelled. Replicas do so beside each other."""
    while True:
        try:
            count: int = await pool.fetchval("SELECT issuance.prune_spent_jtis()")
        except (*LOST, *UNDONE) as error:
            logger.warning(
                "cannot forget spent assertions", reason=type(error).__name__
            )
        else:
            logger.debug("spent assertions forgotten", count=count)
        await asyncio.sleep(INTERVAL.total_seconds())
