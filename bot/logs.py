"""Sets up the program's log: JSON lines on a given stream.

The caller chooses the stream, because stdout belongs to the commands' output.
"""

from __future__ import annotations

import logging
from typing import TextIO

import structlog


def set_up_logging(level: str, stream: TextIO) -> None:
    """Libraries log only warnings and errors, whatever the level."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.WARNING), stream=stream, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
