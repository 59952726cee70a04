"""The options that say where a new thread is opened and with which agent, and their checks. It opens none."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from agent.roster import DEFAULT
from bot.app import App
from bot.cli import exits
from bot.team.reach import out_of_reach
from channels import places, terminal
from channels.inbound import Refused
from channels.places import Command, NoPlace
from store.values import Place

AgentName = Annotated[str, typer.Option("--agent", metavar="A", help=f"the agent; default: {DEFAULT}")]
At = Annotated[str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="where to open it, e.g. terminal:ops")]


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
