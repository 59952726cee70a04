"""The command line. Exit codes: 0 done, 1 a failure said on stderr, 2 usage. `--json` prints one document on stdout."""

from __future__ import annotations

import asyncio
import getpass
import json
import signal
import sys
import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
import uvloop

from agent.context import Context
from agent.roster import DEFAULT
from agent.speech import card
from bot import demo as demo_scenario
from bot import doctor as checks
from bot.app import App, model_of, opened, set_up_logging
from bot.inbox import Refused, Settlement
from bot.session import HELP, Session, typed_lines
from bot.settings import Settings, SettingsError, load
from bot.transcript import entries, markdown
from channels.terminal import NAME as TERMINAL
from channels.terminal import render
from store.base import StoreUnavailable, UnknownThread
from store.embedded import EmbeddedRedisError
from store.events import EventTooLarge, Person, Place
from store.thread import Thread

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ThreadId = Annotated[str, typer.Argument(metavar="ID", help="the thread")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="who you are; default: your login name")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout and nothing else")]
Wait = Annotated[bool, typer.Option("--wait", help="work on the thread here until it is somebody's turn, and show it")]
AgentName = Annotated[str, typer.Option("--agent", metavar="A")]

FAILURES = (
    SettingsError,
    StoreUnavailable,
    EmbeddedRedisError,
    UnknownThread,
    Refused,
    EventTooLarge,
    demo_scenario.DidNotHappen,
)


def main() -> None:
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        sys.stderr.close()
        sys.exit(0)


def _run(command: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Settings, then the command. A failure is told without a traceback; a mistake of ours keeps its own."""
    try:
        settings = load()
        set_up_logging(settings.bot_log_level)
        uvloop.run(command(settings))
    except FAILURES as failure:
        text = failure.args[0] if isinstance(failure, UnknownThread) else str(failure)
        print(text, file=sys.stderr)
        raise typer.Exit(1) from None


def _me(name: str) -> Person:
    try:
        login = name or getpass.getuser()
    except (KeyError, OSError):
        login = "somebody"
    # Who can run commands here can read and write the store: the machine has already said who they are.
    return Person(name=login, address=login, trust="verified")


def _print_json(document: object) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def as_document(thread: Thread, *, with_events: bool = False) -> dict[str, Any]:
    """A thread as scripts read it."""
    pending = thread.pending
    document: dict[str, Any] = {
        "id": thread.id,
        "agent": thread.agent,
        "place": thread.place.model_dump(mode="json"),
        "status": thread.status,
        "turn": thread.turn,
        "events": thread.version,
        "updated_at": thread.events[-1].at.isoformat(),
        "pending": None,
        "question": None,
    }
    if pending and pending.request:
        document["pending"] = {
            "request": pending.id,
            "digest": pending.request.digest,
            "intent": pending.chosen.intent,
            "arguments": pending.chosen.arguments,
            "facts": pending.request.facts,
        }
    if asked := thread.step(thread.state.question):
        document["question"] = {"step": asked.id, **asked.chosen.arguments}
    if with_events:
        document["events"] = [event.model_dump(mode="json") for event in thread.events]
    return document


@app.command()
def demo() -> None:
    """Play deploybot's canonical day for real; with a terminal it is a conversation."""

    async def command(settings: Settings) -> None:
        await demo_scenario.demo(settings, _me(""), interactive=sys.stdin.isatty() and sys.stdout.isatty())

    _run(command)


@app.command()
def send(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="what to say; - reads it from stdin")],
    agent: AgentName = DEFAULT,
    thread: Annotated[str, typer.Option("--thread", metavar="ID", help="go on with this thread")] = "",
    place: Annotated[str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="where to open it")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Say something: opens a thread, or goes on with one. Prints the thread's id."""
    text = sys.stdin.read() if text == "-" else text
    if not text.strip():
        raise typer.BadParameter("There is nothing to say: TEXT is empty.")
    if place and ":" not in place:
        raise typer.BadParameter(f"{place!r} is no place: it takes CHANNEL:ADDRESS, such as terminal:ops.")

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            if thread:
                said = await bot.inbox.say(thread, _me(name), text)
            else:
                said = await bot.inbox.message(
                    _place(bot, place), _me(name), text, agent=_known(bot, agent), event_id=f"m/{uuid.uuid4()}"
                )
            await _answer(bot, said, wait=wait, as_json=as_json, otherwise=said.id)

    _run(command)


@app.command()
def threads(
    status: Annotated[str, typer.Option("--status", metavar="S", help="only those, e.g. waiting_for_approval")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="look at so many, the newest first")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the threads, the one that moved last first."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            found = [await bot.store.load(thread_id) for thread_id in await bot.store.recent(limit)]
            found = [thread for thread in found if not status or thread.status == status]
            if as_json:
                _print_json([as_document(thread) for thread in found])
                return
            for thread in found:
                moved = f"{thread.events[-1].at:%Y-%m-%d %H:%M}"
                print(f"{thread.id}  {thread.status:<20}  {thread.agent:<10}  {moved}  {thread.version} events")

    _run(command)


@app.command()
def show(
    thread: ThreadId,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="for a ticket or a review")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="exactly what the model would be sent now")] = False,
) -> None:
    """Show a thread."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            found = await bot.store.load(thread)
            if prompt:
                agent = bot.roster.get(found.agent)
                if agent is None:
                    raise Refused(f"The agent {found.agent!r} is not set up here: [agents.{found.agent}] in bot.toml.")
                user = Context(agent).render(found)
                if as_json:
                    _print_json({"system": agent.prompt, "user": user})
                else:
                    print(f"--- system ---\n{agent.prompt}\n--- user ---\n{user}")
            elif as_json:
                _print_json(as_document(found, with_events=True))
            elif as_markdown:
                print(markdown(found))
            else:
                for entry in entries(found):
                    print(f"{entry.who}: {entry.text}")
                print(f"\n{found.id}: {found.status}, whose turn: {found.turn}, {found.version} events")

    _run(command)


@app.command()
def approve(
    thread: ThreadId,
    digest: Annotated[str, typer.Option("--digest", help="of the request that you saw, 8 digits or more")] = "",
    comment: Annotated[str, typer.Option("--comment")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Approve the request that waits."""
    _settle(thread, True, comment, digest, name, wait, as_json)


@app.command()
def reject(
    thread: ThreadId,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="the agent reads it and plans anew")] = "",
    digest: Annotated[str, typer.Option("--digest", help="of the request that you saw, 8 digits or more")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Reject the request that waits."""
    _settle(thread, False, reason, digest, name, wait, as_json)


def _settle(thread: str, approved: bool, comment: str, digest: str, name: str, wait: bool, as_json: bool) -> None:
    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            settlement = await bot.inbox.decide(
                thread, _me(name), approved=approved, comment=comment, digest=digest, proof="terminal"
            )
            if settlement.outcome != "settled":
                raise Refused(settlement.text)
            if not as_json:
                print(_what_was_decided(settlement))
            await _answer(bot, settlement.thread, wait=wait, as_json=as_json)

    _run(command)


def _what_was_decided(settlement: Settlement) -> str:
    step = settlement.step
    assert step.request is not None
    return "\n".join([settlement.text, *render(card(settlement.thread, step, step.request)).split("\n")[2:-2]])


@app.command()
def answer(thread: ThreadId, text: str, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Answer the question that the agent asked."""
    if not text.strip():
        raise typer.BadParameter("There is nothing to say: TEXT is empty.")

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            said = await bot.inbox.answer(thread, _me(name), text)
            await _answer(bot, said, wait=wait, as_json=as_json, otherwise="Answered.")

    _run(command)


@app.command()
def pause(thread: ThreadId, name: As = "", as_json: AsJson = False) -> None:
    """Begin nothing more on the thread until it is resumed."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            paused = await bot.inbox.pause(thread, _me(name))
            await _answer(bot, paused, as_json=as_json, otherwise="Paused. What runs already is noted when it ends.")

    _run(command)


@app.command()
def resume(thread: ThreadId, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Go on with a paused thread."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            resumed = await bot.inbox.resume(thread, _me(name))
            await _answer(bot, resumed, wait=wait, as_json=as_json, otherwise="Resumed.")

    _run(command)


@app.command()
def cancel(
    thread: ThreadId,
    reason: Annotated[str, typer.Option("--reason", metavar="R")] = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """End the thread: nothing more is begun on it, and what waits for approval is taken back."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            ended = await bot.inbox.cancel(thread, _me(name), reason)
            await _answer(bot, ended, as_json=as_json, otherwise="Cancelled. What runs already is noted when it ends.")

    _run(command)


@app.command()
def fork(
    thread: ThreadId,
    at: Annotated[int, typer.Option("--at", metavar="N", help="copy its first N events")],
    place: Annotated[str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="where to open it")] = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Copy the beginning of a thread into a new one, in which nothing is under way. Prints its id."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot:
            copy = await bot.inbox.fork(thread, at, _me(name), _place(bot, place))
            await _answer(bot, copy, as_json=as_json, otherwise=copy.id)

    _run(command)


@app.command()
def chat(
    agent: AgentName = DEFAULT,
    thread: Annotated[str, typer.Option("--thread", metavar="ID", help="go on with this thread")] = "",
    name: As = "",
) -> None:
    """Talk to an agent in the terminal, with the configured model."""

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot, model_of(settings) as model:
            lines = typed_lines()
            if thread:
                found = await bot.store.load(thread)
            else:
                known = _known(bot, agent)
                print(HELP, file=sys.stderr)
                first = ""
                async for first in lines:
                    if first.strip():
                        break
                if not first.strip():
                    return
                found = await bot.inbox.message(
                    _place(bot, ""), _me(name), first, agent=known, event_id=f"m/{uuid.uuid4()}"
                )
            worker = bot.worker(model, only=found.id)
            working = asyncio.create_task(worker.run())
            try:
                await Session(bot, _me(name), found).converse(lines)
            finally:
                worker.stop()
                await working
            print(f"Go on with: bot chat --thread {found.id}", file=sys.stderr)

    _run(command)


@app.command()
def run(
    roles: Annotated[list[str] | None, typer.Argument(metavar="[worker]", help="none named: all of them")] = None,
) -> None:
    """Work on the threads until SIGTERM or SIGINT: then take nothing new, and finish or hand back what is under way."""
    for role in roles or []:
        if role != "worker":
            raise typer.BadParameter(f"There is no role {role!r}; there is: worker.")

    async def command(settings: Settings) -> None:
        async with opened(settings) as bot, model_of(settings) as model:
            worker = bot.worker(model)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, worker.stop)
            if not bot.roster:
                print("No agent is set up: give one its table in bot.toml, such as [agents.deploy].", file=sys.stderr)
            print("Working.", file=sys.stderr, flush=True)
            await worker.run()
            print("Stopped.", file=sys.stderr, flush=True)

    _run(command)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check every resource for real, and say what to do."""

    async def command(settings: Settings) -> None:
        findings = [finding async for finding in checks.examine(settings)]
        if as_json:
            _print_json([finding.as_document() for finding in findings])
        else:
            for finding in findings:
                print(finding.line())
        if any(finding.state == "failed" for finding in findings):
            raise Refused(f"{sum(f.state == 'failed' for f in findings)} checks failed.")

    _run(command)


async def _answer(bot: App, thread: Thread, *, wait: bool = False, as_json: bool = False, otherwise: str = "") -> None:
    """What a command prints about the thread that it touched."""
    if not wait:
        if as_json:
            _print_json(as_document(thread))
        elif otherwise:
            print(otherwise)
        return
    async with model_of(bot.settings) as model:
        worker = bot.worker(model, only=thread.id)
        working = asyncio.create_task(worker.run())
        try:
            session = Session(bot, _me(""), thread, **({"show": lambda entry: None} if as_json else {}))
            thread = await session.until_turn()
        finally:
            worker.stop()
            await working
    if as_json:
        _print_json(as_document(thread))
    else:
        print(f"{thread.id}: {thread.status}")


def _place(bot: App, text: str) -> Place:
    channel, _, address = text.partition(":") if text else (TERMINAL, "", f"cli-{uuid.uuid4()}")
    if channel not in bot.channels:
        raise Refused(f"The channel {channel!r} is not set up; there is: {', '.join(bot.channels)}.")
    return Place(channel=channel, address=address)


def _known(bot: App, agent: str) -> str:
    if agent not in bot.roster:
        known = ", ".join(bot.roster) or "none"
        raise Refused(
            f"The agent {agent!r} is not set up here (set up: {known}). Give it [agents.{agent}] in bot.toml."
        )
    return agent
