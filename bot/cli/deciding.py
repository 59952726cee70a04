"""The commands that control a thread: `approve`, `reject`, `edit`, `pause`, `resume`, `cancel`, `fork`.

The inbox and the fold judge whether a person is entitled, never the commands.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bot.app import opened
from bot.cli import command, console, exits, person
from bot.cli.answering import report
from bot.cli.opening import At, check_place, place_of
from bot.cli.options import As, AsJson, Digest, Reason, ThreadId, Wait
from bot.deciding import DecisionResult
from bot.setup import Setup
from channels.inbound import Refused
from channels.plain import fields
from store.events import ThreadReopened
from store.text import one_line
from store.values import Person


def approve(
    thread: ThreadId,
    digest: Digest = "",
    comment: Annotated[str, typer.Option("--comment", metavar="C", help="the agent reads it")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Approve the request that waits."""
    _settle(thread, True, comment, digest, person.me(name), wait, as_json)


def reject(
    thread: ThreadId,
    reason: Reason = "",
    digest: Digest = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Reject the request that waits."""
    _settle(thread, False, reason, digest, person.me(name), wait, as_json)


def _settle(thread: str, approved: bool, comment: str, digest: str, me: Person, wait: bool, as_json: bool) -> None:
    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            result = await bot.inbox.decide(
                thread, me, approved=approved, comment=comment, digest=digest, proof=person.PROOF
            )
            if not result.counts:
                raise Refused(result.text)
            await report(bot, result.thread, me, wait=wait, as_json=as_json, line=_what_was_decided(result))

    command.run(work, model=wait)


def _what_was_decided(result: DecisionResult) -> str:
    request = result.step.request
    assert request is not None
    return "\n".join([one_line(result.text, 1_000), *fields(request.asked.facts, "  ")])


def edit(
    thread: ThreadId,
    changes: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="arguments to change")],
    digest: Digest,
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Edit the call that waits instead of approving it.

    This makes a new request, which needs its own decision.
    """
    me, arguments = person.me(name), {}
    for change in changes:
        key, is_one, value = change.partition("=")
        if not is_one or not key:
            raise exits.Misused(f"{change!r} is not NAME=VALUE.")
        arguments[key] = value

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            changed = await bot.inbox.edit(
                thread, me, step_id="", digest=digest, arguments=arguments, proof=person.PROOF
            )
            done = f"Accepted. The new request: {console.program()} show {thread}"
            await report(bot, changed, me, wait=wait, as_json=as_json, line=done)

    command.run(work, model=wait)


def pause(thread: ThreadId, name: As = "", as_json: AsJson = False) -> None:
    """Pause a thread: begin nothing new until it is resumed."""
    me = person.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            paused = await bot.inbox.pause(thread, me)
            done = "Paused. What is running will finish, and its result is recorded."
            await report(bot, paused, me, as_json=as_json, line=done)

    command.run(work)


def resume(thread: ThreadId, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Resume a paused thread, or reopen a cancelled one.

    What was cancelled stays cancelled: a reopened thread goes on with the next message.
    """
    me = person.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            resumed = await bot.inbox.resume(thread, me)
            reopened = isinstance(resumed.events[-1], ThreadReopened)
            done = "Reopened. What was cancelled stays cancelled; write to it to go on." if reopened else "Resumed."
            await report(bot, resumed, me, wait=wait, as_json=as_json, line=done)

    command.run(work, model=wait)


def cancel(thread: ThreadId, reason: Reason = "", name: As = "", as_json: AsJson = False) -> None:
    """Cancel a thread: begin nothing new, drop its requests."""
    me = person.me(name)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            ended = await bot.inbox.cancel(thread, me, reason)
            done = "Cancelled. What is running will finish, and its result is recorded."
            await report(bot, ended, me, as_json=as_json, line=done)

    command.run(work)


def fork(
    thread: ThreadId,
    at: Annotated[int, typer.Option("--at", metavar="N", help="how many of its first events to copy")],
    place: At = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Copy the beginning of a thread. Prints the new id.

    Ongoing work does not continue in the copy.
    """
    me = person.me(name)
    check_place(place)

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            copy = await bot.inbox.fork(thread, at, me, place_of(bot, place))
            await report(bot, copy, me, as_json=as_json, line=copy.id)

    command.run(work)
