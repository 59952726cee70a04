"""The shared arguments and options of commands, with their help and their checks.

Each is defined once, so that `--as` means the same everywhere. This module touches no thread.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from agent.roster import DEFAULT
from bot.cli import console, exits
from bot.team.reach import out_of_reach
from channels import places, terminal
from channels.inbound import Refused
from channels.places import Command, NoPlace
from store.values import Place

if TYPE_CHECKING:
    from bot.app import App

ThreadId = Annotated[str, typer.Argument(metavar="ID", help="the thread")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="the message; - reads it from stdin")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="who you are; default: your login name")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Wait = Annotated[bool, typer.Option("--wait", help="work on it here until it is a person's turn, and show it")]
AgentName = Annotated[str, typer.Option("--agent", metavar="A", help=f"the agent; default: {DEFAULT}")]
GoOn = Annotated[str, typer.Option("--thread", metavar="ID", help="continue this thread")]
At = Annotated[str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="where to open it, e.g. terminal:ops")]
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


def check_place(text: str) -> None:
    """Check the form of `--place`. Raises Misused."""
    if text and not all(places.split(text)):
        raise exits.Misused(f"{text!r} is not a place. Use CHANNEL:ADDRESS, such as terminal:ops.")


def place_of(bot: App, text: str) -> Place:
    """The place for a new thread; if none is named, a new one at the terminal. Raises Refused."""
    label = f"cli-{uuid.uuid4()}"
    if not text:
        return terminal.place_of(label)
    channel, _ = places.split(text)
    if channel not in bot.channels:
        raise Refused(f"The channel {channel!r} is not set up. These are: {', '.join(bot.channels)}.")
    if why := out_of_reach(text, bot.setup.settings.reach()):
        raise Refused(f"--place names {text[:100]!r}, and {why}")
    try:
        return places.parse(text, Command(label))
    except NoPlace as wrong:
        raise Refused(f"--place {wrong}, not {text[:100]!r}.") from None


def agent_named(bot: App, agent: str) -> str:
    """The named agent, or the default one. Raises Refused if it is not set up."""
    agent = agent or DEFAULT
    if agent not in bot.roster:
        known = ", ".join(bot.roster) or "none"
        raise Refused(f"The agent {agent!r} is not set up here (set up: {known}). Add [agents.{agent}] to bot.toml.")
    return agent
