"""`bot eval add`: makes a case of a thread, with the names, addresses and revisions replaced.

It changes no thread. It writes nothing in which it sees a secret.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from agent.definition import Agent
from agent.evals.placeholders import Known, Placeholders, secrets_in
from agent.roster.deploy.targets import Targets
from bot.app import App, opened
from bot.cli.demo.site import Site
from bot.cli.evals.stage import folder_of
from bot.setup import Setup
from channels.inbound import Refused
from store.codec import encode
from store.events import Event, MessageReceived, StepChosen, ThreadOpened, TriggerReceived
from store.thread import Thread

SECRET_CHARS_MIN = 6
_WORDS = (MessageReceived, TriggerReceived)


class HoldsSecrets(Refused):
    """The case would hold a secret."""


async def add(setup: Setup, thread_id: str, at: int, name: str, *, wrong: bool, write: bool) -> str:
    """The case as YAML, or where it was written. Raises UnknownThread, Refused."""
    async with opened(setup) as bot:
        thread = await bot.store.load(thread_id)
        agent, at = _agent(bot, thread, at), at or _before_last_choice(thread)
    if not 1 < at <= thread.version:
        raise Refused(f"Thread {thread_id} has {thread.version} events; --at takes 2 to {thread.version}.")
    case = _case(agent, thread, at, name or f"from-life-{thread_id[:8].lower()}-{at}", wrong=wrong)
    text = yaml.safe_dump({"tags": ["from-life"], "cases": [case]}, sort_keys=False, allow_unicode=True, width=110)
    _check(text, thread.events[:at], setup)
    if not write:
        return text
    path = folder_of(setup, agent.name) / f"{case['name']}.yaml"
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"{path} was not written: {error.strerror}.") from None
    return f"Written: {path}. Say in it what is right, and try it: bot eval {agent.name} --only {case['name']}"


def _agent(bot: App, thread: Thread, at: int) -> Agent:
    """The one that had the thread then."""
    name = thread.at(at).agent if at else thread.agent
    if name not in bot.roster:
        raise Refused(f"The agent {name!r} is not set up here.")
    return bot.roster[name]


def _before_last_choice(thread: Thread) -> int:
    """Raises Refused."""
    chosen = (
        index for index, event in enumerate(thread.events) if isinstance(event, StepChosen) and event.by == "model"
    )
    last = max(chosen, default=0)
    if not last:
        raise Refused(f"In thread {thread.id} the model has chosen nothing: say --at N.")
    return last


def _case(agent: Agent, thread: Thread, at: int, name: str, *, wrong: bool) -> dict[str, Any]:
    given = thread.events[1:at]
    exported = [json.loads(encode(event)) for event in thread.events]
    hidden = Placeholders(_names(agent), _demo())
    hidden.meet(exported)
    if all(isinstance(event, _WORDS) for event in given):
        shown = [_in_words(hidden.event(json.loads(encode(event))), event) for event in given]
    else:
        shown = [{"event": one} for one in _with_new_ids([hidden.event(one) for one in exported[1:at]])]
    follows = next((e for e in thread.events[at:] if isinstance(e, StepChosen) and e.by == "model"), None)
    did = {"intent": follows.intent} if follows else {"intent": "request_human_input"}
    if follows and follows.acts:
        did["arguments"] = hidden.event({"arguments": follows.arguments})["arguments"]
    asks = {"intent": "request_human_input"}
    ends = {"then": [asks], "never": [did]} if wrong and follows else {"then": [did]}
    return {"name": name, "about": "From a thread.", "given": shown, **ends}


def _in_words(event: dict[str, Any], was: Event) -> dict[str, Any]:
    if isinstance(was, TriggerReceived):
        return {"trigger": event["name"], "source": event["source"], "data": event.get("data", {})}
    sender = event["sender"]
    found = {"text": event["text"], "from": sender["name"], "trust": sender["trust"], "subject": event.get("subject")}
    found["attachments"] = [{k: one[k] for k in ("name", "text") if k in one} for one in event.get("attachments", [])]
    found["passes_on"] = event.get("passes_on")
    return {key: value for key, value in found.items() if value}


def _with_new_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids from outside tell where a message came from: they are numbered. Those of steps stay."""
    outside = [event["id"] for event in events if not re.match(r"s\d+(e\w+|q)?/", event["id"])]
    new = {old: f"given/{number}" for number, old in enumerate(outside)}

    def changed(value: Any) -> Any:
        match value:
            case str():
                return new.get(value, value)
            case dict():
                return {key: changed(one) for key, one in value.items()}
            case list():
                return [changed(one) for one in value]
            case _:
                return value

    return [changed(event) for event in events]


def _names(agent: Agent) -> Known:
    targets = agent.resources.get(Targets)
    if not isinstance(targets, Targets):
        return Known()
    return Known(tuple(targets.config.components), tuple(targets.config.order))


def _demo() -> Known:
    with tempfile.TemporaryDirectory(prefix="bot-eval-") as folder:
        site = Site(Path(folder) / "site")
        site.build()
        layout = site.layout
        tags = [commit.tag for history in layout.repositories.values() for commit in reversed(history) if commit.tag]
        first = next(iter(layout.components))
        found = ["main"] + [
            commit.tag for commit in reversed(layout.repositories[layout.components[first]]) if commit.tag
        ]
        return Known(
            tuple(layout.components),
            tuple(layout.environments),
            tuple(tags),
            tuple(site.sha(name, first) for name in found),
        )


def _check(text: str, events: tuple[Event, ...], setup: Setup) -> None:
    """Raises HoldsSecrets, with the number of the event and without the secret."""
    values = [value.get_secret_value() for _, value in setup.settings if isinstance(value, SecretStr)]
    secrets = [value for value in values if len(value) >= SECRET_CHARS_MIN]
    for number, event in enumerate(events, 1):
        line = "" if isinstance(event, ThreadOpened) else encode(event).decode()
        if found := secrets_in(line):
            raise HoldsSecrets(f"Nothing was written: event {number} seems to hold {' and '.join(found)}.")
    if secrets_in(text) or any(secret in text for secret in secrets):
        raise HoldsSecrets("Nothing was written: the case would hold a secret of this program's settings.")
