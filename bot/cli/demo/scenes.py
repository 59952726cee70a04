"""`bot demo`: the main scenario with a real git repository, real deployments and a durable thread.

On a terminal it is a conversation. Otherwise it plays the scenario, shows it, and checks the result on disk. A demo
that was stopped or killed goes on at the next start. It has its own store and site, and never touches a target or a
store of the team.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.model.base import STAND_IN, Model
from agent.roster import DEFAULT
from agent.roster.stand_in import StandIn
from bot.app import App, model_of, opened
from bot.cli import command, console, person
from bot.cli.asking import typed_lines
from bot.cli.demo import going_on, scenario
from bot.cli.demo.folder import Folder
from bot.cli.demo.layout import MERGED
from bot.cli.demo.site import Site
from bot.cli.session import HELP, Session, working
from bot.settings import Settings
from bot.setup import Setup
from bot.stores import store_of
from bot.team.file import read_team
from bot.team.people import People
from bot.views.waiting import waiting
from store.base import Store, UnknownThread
from store.events import TriggerReceived
from store.keys import thread_id_of
from store.text import instant
from store.thread import Thread
from store.values import Person, Place

REAL_MODEL = "For a real one, set OPENAI_BASE_URL and OPENAI_MODEL."
LEASE_SECONDS_MAX = 6.0
"""After a kill, nobody works on the thread for as long as its lease and the grace after it; people watch the demo."""


def demo(
    again: Annotated[bool, typer.Option("--again", help="begin anew, with a new site and a new thread")] = False,
) -> None:
    """Play the main scenario with real deployments.

    On a terminal you take part; elsewhere it plays by itself. A demo that was stopped goes on where it was.
    """

    async def work(setup: Setup) -> None:
        me, interactive = person.at_terminal("", People()), sys.stdin.isatty() and sys.stdout.isatty()
        await play(setup, me, interactive=interactive, again=again)

    command.run(work, agents=False)


async def play(setup: Setup, me: Person, *, interactive: bool, again: bool = False) -> None:
    """Raises DidNotHappen, and what `opened` and `model_of` raise."""
    folder = Folder(setup.settings.bot_home / "demo")
    lease_seconds = min(setup.settings.bot_lease_seconds, LEASE_SECONDS_MAX)
    changes = {"redis_url": "", "bot_home": folder.home, "bot_lease_seconds": lease_seconds}
    settings = setup.settings.model_copy(update=changes)
    with folder.held():
        earlier = None if again else await _earlier(settings, folder)
        goes_on = earlier is not None and (interactive or scenario.scenes_played(earlier) is not None)
        if earlier and goes_on:
            place = earlier.place
            folder.write_team_file()
        else:
            place = folder.build()
        async with opened(Setup(settings, read_team(folder.team_file))) as app, _decider(settings) as model:
            thread = await app.store.load(await app.inbox.trigger(place, _merged(folder.site), agent=DEFAULT))
            if earlier and not goes_on:
                console.prose(_why_anew(earlier))
            _introduce(folder.site, settings.openai_model or STAND_IN)
            if goes_on:
                _say_where_it_goes_on(app, thread)
            session = Session(app, me, thread, shown=thread.version if goes_on else 0)
            try:
                async with working(app, model, thread.id):
                    if interactive:
                        print()
                        console.prose(f"{HELP} Try: status, or: roll back the checkout.")
                        print(flush=True)
                        await session.converse(typed_lines())
                    else:
                        print(flush=True)
                        over = scenario.scenes_played(thread) or 0
                        await scenario.play(session, folder.site, scenes_over=over)
            finally:
                _say_how_to_go_on(folder, session.thread, settings_name_redis=bool(setup.settings.redis_url))


async def _earlier(settings: Settings, folder: Folder) -> Thread | None:
    """The demo that is under way in this folder; None: there is none."""
    place = folder.place()
    if place is None:
        return None
    async with store_of(settings) as store:
        return await _loaded(store, place)


async def _loaded(store: Store, place: Place) -> Thread | None:
    with contextlib.suppress(UnknownThread):  # It was killed before the thread was opened.
        return await store.load(thread_id_of(place))
    return None


@contextlib.asynccontextmanager
async def _decider(settings: Settings) -> AsyncIterator[Model]:
    if settings.has_model:
        async with model_of(Setup(settings)) as model:
            yield model
    else:
        yield StandIn()


def _merged(site: Site) -> TriggerReceived:
    """What begins the demo. It has one id, so opening the thread again changes nothing."""
    return TriggerReceived(
        id="demo/merged",
        at=datetime.now(UTC),
        source="github",
        name="pull_request_merged",
        data={
            "pull_request": 42,
            "title": "Pay by invoice",
            "merged_by": "Ada Okafor",
            "sha": site.sha(MERGED),
            "task": f"deploy SHA {MERGED} to live",
        },
    )


def _why_anew(earlier: Thread) -> str:
    if earlier.status in ("done", "cancelled", "handed_to_human"):
        return "The last demo is over, so a new one begins."
    return "The last demo went another way than the scenario, so a new one begins."


def _introduce(site: Site, model: str) -> None:
    console.prose("deploybot deploys a merged change of a small shop to lab, preview and live. You decide about live.")
    print(f"All of it is real:\n  repository  {site.repository}\n  targets     {site.home / 'targets'}")
    if model == STAND_IN:
        console.prose("No model is configured, so a small stand-in decides: it knows a few words.")
        console.prose("For a real model, set OPENAI_BASE_URL and OPENAI_MODEL.")
    else:
        console.prose(f"The model {model} decides.")


def _say_where_it_goes_on(app: App, thread: Thread) -> None:
    happened = going_on.what_happened(thread)
    print()
    console.prose(f"The demo goes on where it stopped at {instant(thread.events[-1].at)}.")
    console.prose("So far:" if happened else "Nothing was deployed so far.")
    for fact in happened:
        console.prose(f"  - {fact}")
    console.prose(going_on.what_waits(app.roster[thread.agent], thread))
    if thread.turn in ("agent", "clock"):
        console.prose("After a kill, it takes a few seconds until the agent may go on.")
    print(f"To begin anew instead: {console.program()} demo --again", flush=True)
    if waits := waiting(thread):
        print(flush=True)
        console.show(waits)


def _say_how_to_go_on(folder: Folder, thread: Thread, *, settings_name_redis: bool) -> None:
    no_redis = "REDIS_URL= " if settings_name_redis else ""
    where = f"{no_redis}BOT_HOME={shlex.quote(str(folder.home))} BOT_CONFIG={shlex.quote(str(folder.team_file))}"
    print(f"\nTo look at the thread: {where} {console.program()} show {thread.id}")
    if thread.status != "done":
        print(f"To go on: {console.program()} demo\nTo begin anew: {console.program()} demo --again", flush=True)
