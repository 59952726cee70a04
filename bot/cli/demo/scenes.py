"""`bot demo`: the main scenario with a real git repository, real deployments and a durable thread.

On a terminal it is a conversation. Otherwise it plays the scenario, shows it, and checks the result on disk. It has its
own store and site, and never touches a target or a store of the team.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent.model.base import STAND_IN, Model
from agent.roster.stand_in import StandIn
from bot.app import model_of, opened
from bot.cli import command, console, person
from bot.cli.asking import typed_lines
from bot.cli.demo.layout import MERGED
from bot.cli.demo.site import Site
from bot.cli.session import HELP, Session, working
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import read_team
from bot.team.people import People
from channels import terminal
from channels.inbound import Refused
from channels.terminal import Typed
from store.events import TriggerReceived
from store.thread import Thread
from store.values import Person

OBJECTION = "can you deploy the orders first?"
CONCERNED = ("orders", "checkout")
"""The components that the merge changes."""
SCENARIO_SECONDS_MAX = 180.0


class DidNotHappen(command.Failed):
    """A step of the scenario did not happen."""


def demo() -> None:
    """Play the main scenario with real deployments.

    On a terminal you take part; elsewhere it plays by itself.
    """

    async def work(setup: Setup) -> None:
        await play(setup, person.at_terminal("", People()), interactive=sys.stdin.isatty() and sys.stdout.isatty())

    command.run(work, agents=False)


async def play(setup: Setup, me: Person, *, interactive: bool) -> None:
    """Raises DidNotHappen, and what `opened` and `model_of` raise."""
    settings = setup.settings
    home = settings.bot_home / "demo"
    with _alone_in(home):
        site, team_file = _built(home)
        no_redis = "REDIS_URL= " if settings.redis_url else ""
        settings = settings.model_copy(update={"redis_url": "", "bot_home": home})
        async with opened(Setup(settings, read_team(team_file))) as app, _decider(settings) as model:
            print(f"deploybot demo. Repository: {site.repository}; targets: {site.home / 'targets'}.")
            if settings.openai_model in ("", STAND_IN):
                print(
                    "No model is configured (OPENAI_MODEL), so a small stand-in decides: it knows a few words. "
                    "Everything else is real."
                )
            else:
                print(f"The model {model.name} decides.")
            print()
            place = terminal.place_of(f"demo-{uuid.uuid4()}")
            thread = await app.store.load(await app.inbox.trigger(place, _merged(site), agent="deploy"))
            session = Session(app, me, thread)
            try:
                async with working(app, model, thread.id):
                    if interactive:
                        print(HELP + " Try: status, or: roll back the checkout.\n", flush=True)
                        await session.converse(typed_lines())
                    else:
                        async with asyncio.timeout(SCENARIO_SECONDS_MAX):
                            await _play(session, site)
            except TimeoutError:
                raise DidNotHappen(f"The scenario did not end within {SCENARIO_SECONDS_MAX:g} seconds.") from None
            finally:
                where = f"{no_redis}BOT_HOME={shlex.quote(str(home))} BOT_CONFIG={shlex.quote(str(team_file))}"
                print(f"\nTo look at the thread: {where} {console.program()} show {thread.id}", flush=True)


def _built(home: Path) -> tuple[Site, Path]:
    """Build a new site and its team file."""
    if missing := [name for name in ("git", "sh", "tar") if not shutil.which(name)]:
        raise Refused(f"The demo deploys for real, so it needs {' and '.join(missing)} on PATH.")
    site, team_file = Site(home / "site"), home / "bot.toml"
    shutil.rmtree(home / "deployments", ignore_errors=True)
    try:
        site.build()
        site.write_team_file(team_file)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(f"The demo's site cannot be built under {site.home}: {error}") from None
    return site, team_file


@contextlib.asynccontextmanager
async def _decider(settings: Settings) -> AsyncIterator[Model]:
    if settings.has_model:
        async with model_of(Setup(settings)) as model:
            yield model
    else:
        yield StandIn()


def _merged(site: Site) -> TriggerReceived:
    return TriggerReceived(
        id="demo/merged",
        at=datetime.now(UTC),
        source="github",
        name="pull_request_merged",
        data={
            "pull_request": 42,
            "title": "Pay by invoice",
            "merged_by": "ada",
            "sha": site.sha(MERGED),
            "task": f"deploy SHA {MERGED} to live",
        },
    )


async def _play(session: Session, site: Site) -> None:
    """The scenario of the 12-factor guide, step by step; each is checked before the next."""
    merged, before = site.sha(MERGED), _live(site)
    thread = await session.until_turn()
    for environment in ("lab", "preview"):
        for component in CONCERNED:
            is_there = site.running(component, environment) == merged
            _check(is_there, f"{component} was deployed to {environment} after the merge")
    _check(_tests_passed(thread, "preview"), "the end-to-end tests passed on preview")
    await _expect_request(session, "checkout", merged)
    _check(_live(site) == before, "nothing ran before it was approved")
    await session.obey(Typed("reject", OBJECTION))
    await session.until_turn()
    await _expect_request(session, "orders", merged)
    _check(_live(site) == before, "nothing ran after it was rejected")
    await session.obey(Typed("approve"))
    await session.until_turn()
    await _expect_request(session, "checkout", merged)
    _check(_live(site) == {**before, "orders": merged}, "the approved orders were deployed to live, and nothing else")
    await session.obey(Typed("approve"))
    thread = await session.until_turn()
    _check(thread.status == "done", "the agent was done")
    _check(_tests_passed(thread, "live"), "the end-to-end tests passed on live")
    _check(site.running("search", "live") == before["search"], "what the merge does not concern was left alone")
    print("\nChecked on disk:")
    for component in CONCERNED:
        running = site.running(component, "live")
        _check(running == merged, f"what was approved is what runs: {component} {merged}")
        print(f"  {component} on live runs {running}, which is what was approved")


def _live(site: Site) -> dict[str, str]:
    return {component: site.running(component, "live") for component in site.layout.components}


async def _expect_request(session: Session, component: str, sha: str) -> None:
    pending, call = session.thread.pending, f"deploy {component}"
    chosen = pending.chosen if pending else None
    asked = f"{chosen.intent} {chosen.arguments.get('component', '')}" if chosen else session.thread.status
    _check(pending is not None and asked == call, f"the agent asked approval for {call} (it was: {asked})")
    facts = pending.asked.facts if pending else {}
    new = facts.get("new")
    _check(isinstance(new, dict) and new.get("sha") == sha, f"the request for {call} showed the full commit {sha}")


def _tests_passed(thread: Thread, environment: str) -> bool:
    return any(
        step.chosen.intent == "run_end_to_end_tests"
        and step.chosen.arguments == {"environment": environment}
        and isinstance(step.result, dict)
        and step.result.get("passed") is True
        for step in thread.state.steps.values()
    )


def _check(happened: bool, what: str) -> None:
    if not happened:
        raise DidNotHappen(f"This did not happen: {what}.")


@contextlib.contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Lock the demo's folder: it rebuilds its site, so two demos would destroy each other's."""
    try:
        for folder in (home.parent, home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "demo.lock").open("w")
    except OSError as error:
        raise Refused(
            f"BOT_HOME {home.parent} is not writable: {error.strerror}. Set BOT_HOME to another directory."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"Another demo is running in {home}. Wait for it, or set BOT_HOME to another directory."
            ) from None
        yield
