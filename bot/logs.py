"""Sets up the program's log: JSON lines for programs, or plain lines for a person at a terminal.

Everything that a process says while it runs goes through here, with the lines of libraries, Python's warnings and
errors that nobody caught. So a program that reads the log never meets a line that is no JSON. The caller chooses the
stream, because stdout belongs to the commands' output. What the lines are called is in docs/logs.md.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from pydantic_core import to_json

from store.text import one_line, visible

VALUE_CHARS_MAX = 500
"""The longest value on a terminal."""


def set_up_logging(level: str, stream: TextIO) -> None:
    """Libraries log only warnings and errors, whatever the level."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        # One: a chain of them costs a step of an agent more than its line's text.
        processors=[_for_a_person if stream.isatty() else _as_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Writes a line at once, so that the lines of several threads and processes do not mix.
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_FromLibraries()], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _failed_in_a_thread
    sys.unraisablehook = _failed_unraisably


def log_failure(text: str) -> None:
    """Why the program could not start, or ended: a line for each of the text's lines."""
    for line in text.splitlines():
        log.error("failed", text=line)


def _as_json(_: object, level: str, line: MutableMapping[str, Any]) -> str:
    """Readable Unicode, but control and invisible characters are escaped."""
    _format_exception(line)
    timestamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    text = _encoded({"timestamp": timestamp, "level": level, "event": line.pop("event"), **line})
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _encoded(line: dict[str, Any]) -> str:
    try:
        return to_json(line, fallback=str).decode()  # Several times as fast as `json`.
    except ValueError:  # Half surrogates, which UTF-8 cannot encode.
        return json.dumps(line, default=str)


def _for_a_person(_: object, level: str, line: MutableMapping[str, Any]) -> str:
    """A line's `text` is for people, and then the rest says nothing more."""
    _format_exception(line)
    exception, name = line.pop("exception", ""), line.pop("event")
    if text := line.get("text"):
        shown = visible(str(text))
    else:
        fields = (f"{key}={one_line(str(value), VALUE_CHARS_MAX)}" for key, value in line.items())
        shown = " ".join([f"{datetime.now().astimezone():%H:%M:%S} {level:<7} {name}", *fields])
    return f"{shown}\n{visible(exception)}" if exception else shown


def _format_exception(line: MutableMapping[str, Any]) -> None:
    if "exc_info" in line:
        structlog.processors.format_exc_info(None, "", line)


class _FromLibraries(logging.Handler):
    """Passes on what libraries log, and Python's warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = min(record.levelno // 10 * 10, logging.CRITICAL)  # Libraries may have levels of their own.
            log.log(level, "library", logger=record.name, said=record.getMessage(), exc_info=record.exc_info)
        except Exception:
            self.handleError(record)


def _failed_in_a_thread(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else ""
    log.error("uncaught", where=f"thread {name}", exc_info=failure.exc_value or True)


def _failed_unraisably(failure: sys.UnraisableHookArgs) -> None:
    log.error("uncaught", where=f"{failure.err_msg or 'in'} {failure.object!r}", exc_info=failure.exc_value or True)


log = structlog.get_logger(__name__)
