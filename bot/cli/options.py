"""The shared arguments and options of commands, with their help and their checks.

Each is defined once, so that `--as` means the same everywhere. This module touches no thread.
"""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from bot.cli import console, exits

NAME_CHARS_MAX = 100


def _checked(name: str) -> str:
    """Raises Misused."""
    if (name and not name.strip()) or len(name) > NAME_CHARS_MAX:
        raise exits.Misused(f"--as takes a name of 1 to {NAME_CHARS_MAX} characters.")
    return name.strip()


ThreadId = Annotated[str, typer.Argument(metavar="ID", help="the thread")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="the message; - reads it from stdin")]
As = Annotated[
    str,
    typer.Option(
        "--as", metavar="NAME", callback=_checked, help="who you are; default: the person whose login this is"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", help="work on it here until it is a person's turn, and show what was said; 3: a person has to go on"
    ),
]
GoOn = Annotated[str, typer.Option("--thread", metavar="ID", help="continue this thread")]
Digest = Annotated[
    str, typer.Option("--digest", metavar="D", help="the digest of the request that you saw, 8 digits or more")
]
Reason = Annotated[str, typer.Option("--reason", metavar="R", help="the agent reads it")]


def text_of(text: str) -> str:
    """The argument TEXT, or all of stdin. Raises Misused."""
    words = console.typed_in() if text == "-" else text
    if not words.strip():
        raise exits.Misused("TEXT is empty.")
    return words


def not_both(thread: str, other: str, option: str, why: str) -> None:
    """Raises Misused if `--thread` is combined with an option for new threads."""
    if thread and other:
        raise exits.Misused(f"--thread continues a thread, and {why}: leave out {option}.")


def message_id() -> str:
    """A new random id."""
    return f"m/{uuid.uuid4()}"
