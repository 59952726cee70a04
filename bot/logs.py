"""The program's own log: lines of JSON on the stream that it is given.

stdout belongs to the commands' answers; nothing here chooses a stream.
"""

from __future__ import annotations

import logging
from typing import TextIO

import structlog


def set_up_logging(level: str, stream: TextIO) -> None:
    """Of libraries, warnings and errors only, whatever the level."""
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
