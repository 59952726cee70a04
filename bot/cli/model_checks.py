"""The checks of the models for `bot doctor`: each is asked for real, as each of its agents would ask it.

An agent's frame (its prompt, its steps, the schema) is most of a request, so a model that answers a short question may
still be too small for an agent. Nothing that a model chooses here is done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.context.window import Context
from agent.definition import Agent
from agent.model.base import DEFAULT, STAND_IN, Answer, ModelBusy, ModelFailure, Prompt
from agent.model.choice import Models, Option
from bot.app import model_of, model_problems
from bot.cli.findings import Finding
from bot.setup import Setup
from bot.team.agents import inspect_agents
from bot.team.problems import SettingsError
from store import keys
from store.events import MessageReceived, ThreadOpened
from store.thread import Thread
from store.values import Person, Place

SMALLEST = Agent(name="doctor", prompt="You test a connection. Choose nothing_to_do.", tools=())
"""Asked with where there is no agent yet."""
WORDS = "This only checks the connection: nothing is to be done. Is everything in order with you?"


async def check_models(setup: Setup) -> list[Finding]:
    """A finding for each model and each agent that uses it."""
    if setup.settings.openai_model == STAND_IN:
        what = f"OPENAI_MODEL is {STAND_IN}, which is no model: it matches a few keywords."
        return [Finding("model", "warning", f"{what} Name a model before people rely on it.")]
    if problems := model_problems(setup):
        return [Finding("model", "failed", " ".join(problems))]
    agents = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    try:
        async with model_of(setup) as models:
            return [
                await _asked(option, agent, named=len(agents) > 1)
                for option in models.options.values()
                for agent in _users(models, option, agents)
            ]
    except SettingsError as error:
        return [Finding("model", "failed", str(error))]


def _users(models: Models, option: Option, agents: Mapping[str, Agent]) -> list[Agent]:
    """The agents that may ask this model, as their own one or as a fallback; the smallest one if there is none."""
    label = option.model.label
    asking = {name: models.option_of(name) for name in agents}
    users = [agents[name] for name, own in asking.items() if label in (own.model.label, own.fallback)]
    return users or [SMALLEST]


async def _asked(option: Option, agent: Agent, *, named: bool) -> Finding:
    """Ask this model itself, not its fallback; twice, because what it has read before may be cached."""
    model = option.model
    what = "model" if model.label == DEFAULT else f"model {model.label}"
    what = f"{what} for {agent.name}" if named and agent is not SMALLEST else what
    prompt = Prompt(agent=agent, user=Context(agent).render(_typical()))
    try:
        first, first_seconds = await _timed(option, prompt)
        again, again_seconds = await _timed(option, prompt)
    except ModelFailure as error:
        return Finding(what, "failed", f"{error} It answered: {error.answer}" if error.answer else str(error))
    except ModelBusy:
        return Finding(what, "failed", f"{model.name} is busy with other calls.")
    text = (
        f"{first.model or model.name} answered in {first_seconds:.1f} s and {again_seconds:.1f} s "
        f"({model.client.mode}). {_tokens(again)} {_room(option, agent)}"
    )
    return Finding(what, "ok", f"{text} {option.in_words()}".strip())


async def _timed(option: Option, prompt: Prompt) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = await option.model.answer(prompt, within_seconds=option.timeout_seconds)
    return answer, time.monotonic() - started


def _tokens(answer: Answer) -> str:
    if (usage := answer.usage) is None:
        return "It does not say how many tokens that took."
    read, cached, wrote = (f"{count:,}" for count in (usage.input_tokens, usage.cached_tokens, usage.output_tokens))
    return f"The second time it read {read} tokens, {cached} of them cached, and wrote {wrote}."


def _room(option: Option, agent: Agent) -> str:
    takes, most = option.model.client.chars_max(agent), agent.limits.context_chars_max
    if takes is None or takes >= most:
        return f"A long thread takes up to {most:,} characters more."
    return f"A long thread takes up to {takes:,} characters more; the agent's own limit is {most:,}."


def _typical() -> Thread:
    now, dana = datetime.now(UTC), Person(name="Dana", address="dana", trust="verified")
    opened = ThreadOpened(id=keys.OPENED, at=now, agent="doctor", place=Place(channel="terminal", address="doctor"))
    return Thread("doctor").extended([opened, MessageReceived(id="m1", at=now, sender=dana, text=WORDS)])
