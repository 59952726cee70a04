"""The command line. Exit codes: 0 done, 1 a failure said on stderr, 2 usage. `--json` prints one document on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, get_args

import typer

from agent.context import Context
from agent.roster import DEFAULT
from bot.app import App, Setup, model_of, opened
from bot.cli import command, console
from bot.cli import doctor as checks
from bot.cli import schedules as cli_schedules
from bot.cli import standing as cli_standing
from bot.cli.demo import scenes as demo_scenario
from bot.cli.session import HELP, Session, typed_lines, working
from bot.clock import ticking
from bot.inbox import Refused, Settlement
from bot.team.policy_checks import policy_warnings
from bot.views import record as audit
from bot.views.document import document
from bot.views.transcript import Entry, entries, markdown, topic
from bot.web.listen import listen
from bot.worker import Worker
from channels.plain import fields
from channels.terminal import NAME as TERMINAL
from channels.terminal import parse
from store.base import StoreUnavailable
from store.text import one_line
from store.thread import Thread, ThreadStatus
from store.values import Person, Place

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_schedules.app, name="schedules")
app.add_typer(cli_standing.app, name="standing")

ThreadId = Annotated[str, typer.Argument(metavar="ID", help="the thread")]
Words = Annotated[str, typer.Argument(metavar="TEXT", help="what to say; - reads it from stdin")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="who you are; default: your login name")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout and nothing else")]
Wait = Annotated[bool, typer.Option("--wait", help="work on it here until it is somebody's turn, and show it")]
AgentName = Annotated[str, typer.Option("--agent", metavar="A", help=f"who answers; default: {DEFAULT}")]
GoOn = Annotated[str, typer.Option("--thread", metavar="ID", help="go on with this thread")]
At = Annotated[str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="where to open it, e.g. terminal:ops")]
Digest = Annotated[str, typer.Option("--digest", metavar="D", help="of the request that you saw, 8 digits or more")]
Reason = Annotated[str, typer.Option("--reason", metavar="R", help="the agent reads it")]

ROLES = ("web", "worker", "clock")
STATUSES = get_args(ThreadStatus)
SECOND_SIGINT_SECONDS = 1.0
"""Only after that does another SIGINT break off: whoever starts us may pass on one that we got ourselves."""


def main() -> None:
    console.set_up_streams()
    sys.exit(command.exit_code(app))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"deploybot {importlib.metadata.version('deploybot')}")
        raise typer.Exit


@app.callback()
def bot(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show it and exit")
    ] = False,
) -> None:
    """An agent that deploys, asks before it does what is risky, and forgets nothing. Begin with: bot demo"""


@app.command()
def demo() -> None:
    """Play the main job for real; in a terminal, with you."""

    async def work(setup: Setup) -> None:
        await demo_scenario.demo(setup, command.me(""), interactive=sys.stdin.isatty() and sys.stdout.isatty())

    command.run(work, agents=False)


@app.command()
def chat(agent: AgentName = "", thread: GoOn = "", name: As = "") -> None:
    """Talk to an agent here, with the configured model."""
    me = command.me(name)
    _not_both(thread, agent, "--agent", "it has its agent")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot, model_of(setup.settings) as model:
            lines = typed_lines()
            if thread:
                found = await bot.store.load(thread)
                console.say(HELP)
            else:
                known = _known(bot, agent)
                console.say(HELP)
                first = await _first_words(lines)
                if not first:
                    return
                found = await bot.store.load(
                    await bot.inbox.message(_place(bot, ""), me, first, agent=known, event_id=_message_id())
                )
            try:
                async with working(bot, model, found.id):
                    await Session(bot, me, found).converse(lines)
            finally:
                console.say(f"Go on with: {console.program()} chat --thread {found.id}")

    command.run(work, model=True)


async def _first_words(lines: AsyncIterator[str]) -> str:
    """What opens the thread; nothing where the person leaves without a word."""
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
                console.say(HELP)
            case _:
                console.say(f"There is nothing to {typed.command} yet: there is no thread before you say something.")
    return ""


@app.command()
def run(
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[web] [worker] [clock]", help="none named: all of them")
    ] = None,
) -> None:
    """Listen to channels and work on threads until SIGTERM.

    Roles scale apart: web listens to Slack, reads mail and serves HTTP, worker works on threads, clock fires the
    schedules; any number of each may run. At the end it takes nothing new, and finishes or hands back what is under
    way.
    """
    for role in roles or []:
        if role not in ROLES:
            raise command.Misused(f"There is no role {role!r}; there are: {', '.join(ROLES)}.")
    chosen = set(roles or ROLES)

    async def work(setup: Setup) -> None:
        async with contextlib.AsyncExitStack() as stack:
            bot = await stack.enter_async_context(opened(setup))
            if not bot.roster:
                console.say("No agent is set up: give one its table in bot.toml, such as [agents.deploy].")
            for line in policy_warnings(bot.roster, bot.authority, bot.may_write):
                console.say(line)
            stopping = asyncio.Event()
            _stop_on_signals(stopping, setup.settings.bot_grace_seconds)
            if "web" in chosen:
                for line in await listen(bot, stack, always="web" in (roles or [])):
                    console.say(line)
            if "clock" in chosen:
                clock = bot.clock()
                if clock.names or "clock" in (roles or []):
                    console.say(f"Schedules: {', '.join(clock.names) or 'none; bot.toml has no [schedules.NAME]'}.")
                await stack.enter_async_context(ticking(clock, stopping))
            if "worker" in chosen:
                settings = setup.settings
                model = await stack.enter_async_context(model_of(settings))
                worker = bot.worker(model)
                where = "REDIS_URL" if settings.redis_url else f"the embedded Redis under {settings.bot_home}"
                console.say(f"Working for {', '.join(bot.roster) or 'no agent'}, with {model.name}, on {where}.")
                await _until_stopped(worker, stopping)
            else:
                await stopping.wait()
        console.say("Stopped.")

    command.run(work, model="worker" in chosen, channels=True)


async def _until_stopped(worker: Worker, stopping: asyncio.Event) -> None:
    async def stop() -> None:
        await stopping.wait()
        worker.stop()

    stop_it = asyncio.create_task(stop())
    try:
        await worker.run()
    finally:
        stop_it.cancel()


def _stop_on_signals(stopping: asyncio.Event, grace_seconds: float) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    interrupted_at: list[float] = []

    def interrupt() -> None:
        stopping.set()
        interrupted_at.append(time.monotonic())
        if len(interrupted_at) == 1:
            console.say(f"Stopping, within {grace_seconds:g} s. Ctrl-C again breaks off what is under way.")
        elif interrupted_at[-1] - interrupted_at[0] > SECOND_SIGINT_SECONDS:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)


@app.command()
def send(
    text: Words,
    agent: AgentName = "",
    thread: GoOn = "",
    place: At = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Open a thread, or go on with one. Prints its id."""
    words, me = _words(text), command.me(name)
    _not_both(thread, agent, "--agent", "it has its agent")
    _not_both(thread, place, "--place", "it has its place")
    if place and not all(place.partition(":")):
        raise command.Misused(f"{place!r} is no place: it takes CHANNEL:ADDRESS, such as terminal:ops.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            if thread:
                said = await bot.inbox.say(thread, me, words)
            else:
                where, known = _place(bot, place), _known(bot, agent)
                opened_id = await bot.inbox.message(where, me, words, agent=known, event_id=_message_id())
                said = await bot.store.load(opened_id)
            await _answer(bot, said, me, wait=wait, as_json=as_json, otherwise=said.id)

    command.run(work, model=wait)


@app.command()
def threads(
    status: Annotated[str, typer.Option("--status", metavar="S", help=f"only {', '.join(STATUSES)}")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="look at the N newest")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the threads, the one that moved last first."""
    if status and status not in STATUSES:
        raise command.Misused(f"There is no status {status!r}; there are {', '.join(STATUSES)}.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = [await bot.store.load(thread_id) for thread_id in await bot.store.recent(limit)]
            found = [thread for thread in found if thread.agent and (not status or thread.status == status)]
        if as_json:
            console.print_json([document(thread) for thread in found])
        elif found:
            console.print_table(
                ("ID", "STATUS", "AGENT", "MOVED (UTC)", "ABOUT"),
                [_row(thread) for thread in found],
            )
        elif sys.stdout.isatty():
            console.say("There are none." if status else f"There are none yet. Open one: {console.program()} send TEXT")

    command.run(work, agents=False)


def _row(thread: Thread) -> tuple[str, ...]:
    moved = f"{thread.events[-1].at:%Y-%m-%d %H:%M}"
    return one_line(thread.id, 100), thread.status, one_line(thread.agent, 40), moved, topic(thread)


@app.command()
def show(
    thread: ThreadId,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="for a ticket or a review")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="exactly what the model would be sent now")] = False,
) -> None:
    """Show a thread."""
    if as_markdown and (as_json or prompt):
        raise command.Misused("--markdown goes with neither --json nor --prompt.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        if prompt:
            agent = bot.roster.get(found.agent)
            if agent is None:
                raise Refused(f"The agent {found.agent!r} is not set up here: [agents.{found.agent}] in bot.toml.")
            user = Context(agent).render(found)
            if as_json:
                console.print_json({"system": agent.prompt, "user": user})
            else:
                print(f"--- system ---\n{agent.prompt}\n--- user ---\n{user}")
        elif as_json:
            console.print_json(document(found, with_events=True))
        elif as_markdown:
            print(markdown(found))
        else:
            for entry in entries(found):
                console.show(entry)
            print(f"\n{found.id}: {found.status}, whose turn: {found.turn}, {found.version} events")
            _hint(found)

    command.run(work, agents=False)


@app.command()
def approve(
    thread: ThreadId,
    digest: Digest = "",
    comment: Annotated[str, typer.Option("--comment", metavar="C", help="the agent reads it")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Approve the request that waits."""
    _settle(thread, True, comment, digest, command.me(name), wait, as_json)


@app.command()
def reject(
    thread: ThreadId,
    reason: Reason = "",
    digest: Digest = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Reject the request that waits."""
    _settle(thread, False, reason, digest, command.me(name), wait, as_json)


def _settle(thread: str, approved: bool, comment: str, digest: str, me: Person, wait: bool, as_json: bool) -> None:
    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            settlement = await bot.inbox.decide(
                thread, me, approved=approved, comment=comment, digest=digest, proof="terminal"
            )
            if settlement.outcome not in ("settled", "counted"):
                raise Refused(settlement.text)
            await _answer(
                bot, settlement.thread, me, wait=wait, as_json=as_json, otherwise=_what_was_decided(settlement)
            )

    command.run(work, model=wait)


def _what_was_decided(settlement: Settlement) -> str:
    request = settlement.step.request
    assert request is not None
    return "\n".join([one_line(settlement.text, 1_000), *fields(request.facts, "  ")])


@app.command()
def edit(
    thread: ThreadId,
    changes: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="arguments to change")],
    digest: Digest,
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Change the call that waits instead of approving it.

    That is a new request, which is decided on by itself.
    """
    me, arguments = command.me(name), {}
    for change in changes:
        key, is_one, value = change.partition("=")
        if not is_one or not key:
            raise command.Misused(f"{change!r} is not NAME=VALUE.")
        arguments[key] = value

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            changed = await bot.inbox.edit(thread, me, step_id="", digest=digest, arguments=arguments, proof="terminal")
            done = f"Taken. Look at the new request: {console.program()} show {thread}"
            await _answer(bot, changed, me, wait=wait, as_json=as_json, otherwise=done)

    command.run(work, model=wait)


@app.command()
def answer(thread: ThreadId, text: Words, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Answer the question that the agent asked."""
    words, me = _words(text), command.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            said = await bot.inbox.answer(thread, me, words)
            await _answer(bot, said, me, wait=wait, as_json=as_json, otherwise="Answered.")

    command.run(work, model=wait)


@app.command()
def pause(thread: ThreadId, name: As = "", as_json: AsJson = False) -> None:
    """Begin nothing more on it until it is resumed."""
    me = command.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            paused = await bot.inbox.pause(thread, me)
            done = "Paused. What runs already is noted when it ends."
            await _answer(bot, paused, me, as_json=as_json, otherwise=done)

    command.run(work)


@app.command()
def resume(thread: ThreadId, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Go on with a paused thread."""
    me = command.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            resumed = await bot.inbox.resume(thread, me)
            await _answer(bot, resumed, me, wait=wait, as_json=as_json, otherwise="Resumed.")

    command.run(work, model=wait)


@app.command()
def cancel(thread: ThreadId, reason: Reason = "", name: As = "", as_json: AsJson = False) -> None:
    """End it: nothing more is begun, requests are void."""
    me = command.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            ended = await bot.inbox.cancel(thread, me, reason)
            done = "Cancelled. What runs already is noted when it ends."
            await _answer(bot, ended, me, as_json=as_json, otherwise=done)

    command.run(work)


@app.command()
def fork(
    thread: ThreadId,
    at: Annotated[int, typer.Option("--at", metavar="N", help="how many of its events, from the first on")],
    place: At = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Copy the beginning of a thread. Prints the new id.

    Nothing that was under way is under way in the copy.
    """
    me = command.me(name)
    if place and not all(place.partition(":")):
        raise command.Misused(f"{place!r} is no place: it takes CHANNEL:ADDRESS, such as terminal:ops.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            copy = await bot.inbox.fork(thread, at, me, _place(bot, place))
            await _answer(bot, copy, me, as_json=as_json, otherwise=copy.id)

    command.run(work)


@app.command()
def export(thread: ThreadId) -> None:
    """Print the thread's record: JSON lines, hash-chained."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        for line in audit.record(found, setup.settings.bot_secret_key.get_secret_value()):
            print(line)

    command.run(work)


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `bot export` printed", exists=True, dir_okay=False)
    ],
) -> None:
    """Check an exported record: whole and unchanged?"""

    async def work(setup: Setup) -> None:
        try:
            with file.open(encoding="utf-8") as lines:
                found = audit.verify(lines, setup.settings.bot_secret_key.get_secret_value())
        except UnicodeDecodeError:
            raise Refused(f"{file} is not a record: it is not UTF-8 text.") from None
        except audit.Altered as error:
            raise Refused(f"{file}: {error}") from None
        signed = "signed with BOT_SECRET_KEY" if found.signed else "not checked for a signature (no BOT_SECRET_KEY)"
        print(f"Thread {found.thread}: {found.events} events, whole and unchanged, {signed}. Last hash {found.head}.")

    command.run(work, agents=False)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check every resource for real, and say what to do."""

    async def work(setup: Setup) -> None:
        found = []
        async for finding in checks.examine(setup):
            found.append(finding)
            if not as_json:
                print(finding.line(), flush=True)
        if as_json:
            console.print_json([finding.as_document() for finding in found])
        if failed := [finding.what for finding in found if finding.state == "failed"]:
            raise Refused(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}.")

    command.run(work, agents=False)


async def _answer(
    bot: App, thread: Thread, me: Person, *, wait: bool = False, as_json: bool = False, otherwise: str = ""
) -> None:
    """What a command prints about the thread that it touched."""
    if not as_json:
        print(otherwise, flush=True)
    if wait:
        try:
            async with model_of(bot.setup.settings) as model, working(bot, model, thread.id):
                session = Session(bot, me, thread, shown=thread.version, show=_unseen if as_json else console.show)
                thread = await session.until_turn()
        except (asyncio.CancelledError, StoreUnavailable):
            console.say(f"Nothing is lost; look with: {console.program()} show {thread.id}")
            raise
        if not as_json:
            print(f"{thread.id}: {thread.status}")
    if as_json:
        console.print_json(document(thread))
    else:
        _hint(thread)


def _unseen(_: Entry) -> None:
    pass


def _hint(thread: Thread) -> None:
    """What to do next, for a person who looks on."""
    if not sys.stdout.isatty():
        return
    program, pending = console.program(), thread.pending
    match thread.status:
        case "waiting_for_approval" if pending and pending.request:
            same = f"{thread.id} --digest {pending.request.digest[:12]}"
            console.say(f"Next: {program} approve {same}\n  or: {program} reject {same} --reason WHY")
        case "waiting_for_answer":
            console.say(f"Next: {program} answer {thread.id} TEXT")
        case "paused":
            console.say(f"Next: {program} resume {thread.id}")
        case "working" | "waiting":
            console.say(f"Next: `{program} run` works on it; {program} show {thread.id}")
        case "done" | "handed_to_human":
            console.say(f"Next: {program} send --thread {thread.id} TEXT")
        case _:
            pass


def _words(text: str) -> str:
    words = console.typed_in() if text == "-" else text
    if not words.strip():
        raise command.Misused("There is nothing to say: TEXT is empty.")
    return words


def _not_both(thread: str, other: str, option: str, why: str) -> None:
    if thread and other:
        raise command.Misused(f"--thread goes on with a thread, and {why}: leave out {option}.")


def _message_id() -> str:
    return f"m/{uuid.uuid4()}"


def _place(bot: App, text: str) -> Place:
    channel, _, address = text.partition(":") if text else (TERMINAL, "", f"cli-{uuid.uuid4()}")
    if channel not in bot.channels:
        raise Refused(f"The channel {channel!r} is not set up; there is: {', '.join(bot.channels)}.")
    return Place(channel=channel, address=address)


def _known(bot: App, agent: str) -> str:
    agent = agent or DEFAULT
    if agent not in bot.roster:
        known = ", ".join(bot.roster) or "none"
        raise Refused(
            f"The agent {agent!r} is not set up here (set up: {known}). Give it [agents.{agent}] in bot.toml."
        )
    return agent
