"""The commands for talking to an agent: `chat`, `send`, `answer`.

Messages go through the inbox, like those of any other channel.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from agent.model.base import STAND_IN
from bot.app import model_of, opened
from bot.cli import command, console, person
from bot.cli.answering import report
from bot.cli.asking import typed_lines
from bot.cli.opening import AgentName, At, agent_named, check_place, place_of
from bot.cli.options import (
    As,
    AsJson,
    GoOn,
    Text,
    ThreadId,
    Wait,
    message_id,
    not_both,
    text_of,
)
from bot.cli.session import HELP, Session, working
from bot.setup import Setup
from channels.inbound import InboundMessage
from channels.terminal import parse


def chat(agent: AgentName = "", thread: GoOn = "", name: As = "") -> None:
    """Talk to an agent here, with the configured model.

    Commands begin with a slash (/help); everything else is for the agent.
    """
    not_both(thread, agent, "--agent", "it has its agent")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot, model_of(setup) as model:
            me, lines = person.at_terminal(name, bot.people), typed_lines()
            if setup.settings.openai_model == STAND_IN:
                console.say(f"What answers here is the {model.name}.")
            if thread:
                found = await bot.store.load(thread)
                console.say_prose(HELP)
            else:
                known = agent_named(bot, agent)
                console.say_prose(HELP)
                first = await _first_words(lines)
                if not first:
                    return
                found = await bot.store.load(
                    await bot.inbox.message(place_of(bot, ""), InboundMessage(me, first, message_id()), agent=known)
                )
            try:
                async with working(bot, model, found.id):
                    seen = sys.stdin.isatty() and sys.stdout.isatty()
                    await Session(bot, me, found, attended=seen).converse(lines)
            finally:
                console.say(f"Continue with: {console.program()} chat --thread {found.id}")

    command.run(work, model=True, any_agent=not thread)


async def _first_words(lines: AsyncIterator[str]) -> str:
    """The first message; empty: the person quits without one."""
    async for line in lines:
        typed = parse(line)
        match typed.command:
            case "say":
                return typed.text
            case "quit":
                return ""
            case "nothing":
                pass
            case "help":
                console.say_prose(HELP)
            case "mistake":
                console.say(typed.error)
            case _:
                console.say(f"There is nothing to {typed.command} yet. Your first message opens the thread.")
    return ""


def send(
    text: Text,
    agent: AgentName = "",
    thread: GoOn = "",
    place: At = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Open a thread, or write to one. Prints its id."""
    words = text_of(text)
    not_both(thread, agent, "--agent", "it has its agent")
    not_both(thread, place, "--place", "it has its place")
    check_place(place)

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            if thread:
                said = await bot.inbox.say(thread, me, words)
            else:
                where, known = place_of(bot, place), agent_named(bot, agent)
                opened_id = await bot.inbox.message(where, InboundMessage(me, words, message_id()), agent=known)
                said = await bot.store.load(opened_id)
            await report(bot, said, me, wait=wait, as_json=as_json, line=said.id)

    command.run(work, model=wait, any_agent=not thread)


def answer(thread: ThreadId, text: Text, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Answer the agent's open question."""
    words = text_of(text)

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            said = await bot.inbox.answer(thread, me, words)
            await report(bot, said, me, wait=wait, as_json=as_json, line="Answered.")

    command.run(work, model=wait)
