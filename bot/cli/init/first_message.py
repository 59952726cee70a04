"""The end of `bot init`: a first message, worked on here as `bot send --wait` does, and which commands come next."""

from __future__ import annotations

from agent.roster import DEFAULT
from bot.app import model_problems, opened
from bot.cli import console, person
from bot.cli.answering import report
from bot.cli.init.dialogue import LATER, Dialogue, Later, show_heading
from bot.cli.opening import agent_named, place_of
from bot.cli.options import message_id
from bot.setup import Setup, load
from bot.team.agents import inspect_agents
from bot.team.names import NO_AGENT
from bot.team.problems import SettingsError
from channels.inbound import InboundMessage

WORDS = {DEFAULT: "what runs where?"}
"""What to ask the agents that ship."""
OTHER_WORDS = "what can you do?"


async def first_message(dialogue: Dialogue) -> None:
    """Nothing, if there is no model or no agent yet. Raises Exit where a person has to go on with it, and
    SettingsError where `--message` cannot be sent."""
    setup = load()
    agents = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    if not (dialogue.asks or dialogue.has("--message")):
        return
    if problems := model_problems(setup) or ([] if agents else [NO_AGENT]):
        if dialogue.has("--message"):
            raise SettingsError(problems)
        return
    name = DEFAULT if DEFAULT in agents else next(iter(agents))
    show_heading("A first message")
    try:
        words = await dialogue.answer(
            "--message", f"What do you say to it ({LATER}: nothing)", WORDS.get(name, OTHER_WORDS)
        )
    except Later:
        return
    async with opened(setup) as bot:
        me = person.at_terminal("", bot.people)
        message = InboundMessage(me, words, message_id())
        thread_id = await bot.inbox.message(place_of(bot, ""), message, agent=agent_named(bot, name))
        thread = await bot.store.load(thread_id)
        await report(bot, thread, me, wait=True, line=f"Opened the thread {thread.id}.")


def show_next(setup: Setup, left: list[str]) -> None:
    """`left`: the parts that were left for later, by their titles."""
    settings, program = setup.settings, console.program()
    show_heading("Next")
    if left:
        console.prose(f"Left for later: {', '.join(left)}. `{program} init` goes on there.")
    if model_problems(setup):
        console.prose("It has no model yet, and works on nothing without one.")
    print(f"To listen and work, until you stop it:\n  {program} run", flush=True)
    if settings.has_slack:
        console.prose("In Slack, invite it to a channel, and mention it: @deploybot what runs where?")
    if settings.has_email:
        console.prose(f"By mail, write to {settings.email_address}.")
    if not (settings.has_slack or settings.has_email):
        print(f"To talk to it here:\n  {program} chat", flush=True)
