"""Log lines that Airflow's UI folds into one group per phase. Counts and ids only, never values of contacts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger("sync_lib")


@contextmanager
def phase(name: str, **facts: object) -> Iterator[None]:
    """Group what is logged meanwhile under ``name``, with its duration at the end."""
    begun = time.monotonic()
    details = ", ".join(f"{key}: {value}" for key, value in facts.items())
    logger.info("::group::%s%s", name, f" ({details})" if details else "")
    try:
        yield
    finally:
        logger.info("%s took %.1f s", name, time.monotonic() - begun)
        logger.info("::endgroup::")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts as lines with aligned columns."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
