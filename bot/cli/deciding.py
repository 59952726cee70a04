"""The commands that control a thread: `approve`, `reject`, `edit`, `stop`, `pause`, `resume`, `cancel`, `fork`.

The inbox and the fold judge whether a person is entitled, never the commands. Nothing is decided here that the person
did not see: a request is shown first, or named by its digest.
"""

from __future__ import annotations

from typing import Annotated

import typer

from agent.speech.requests import approval
from bot.app import App
from bot.cli import asking, command, console, exits, person
from bot.cli.answering import report
from bot.cli.opening import At, check_place, place_of
from bot.cli.options import As, AsJson, Digest, Reason, ThreadId, Wait
from bot.deciding import DecisionResult
from bot.setup import Setup
from bot.views.waiting import request_entry
from channels.inbound import Refused
from channels.plain import DIGEST_CHARS, fields
from store.events import StepChosen, StepRefused, ThreadReopened
from store.text import one_line
from store.thread import Thread
from store.values import Person

CALL_CHARS_MAX = 200


def approve(
    thread: ThreadId,
    digest: Digest = "",
    comment: Annotated[str, typer.Option("--comment", metavar="C", help="the agent reads it")] = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Approve the request that waits.

    It is shown, and you are asked. Without a terminal, name the request that you saw with --digest.
    """
    _settle(thread, True, comment, digest, name, wait, as_json)


def reject(
    thread: ThreadId,
    reason: Reason = "",
    digest: Digest = "",
    name: As = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Reject the request that waits.

    It is shown, and you are asked. Without a terminal, name the request that you saw with --digest.
    """
    _settle(thread, False, reason, digest, name, wait, as_json)


def _settle(thread: str, approved: bool, comment: str, digest: str, name: str, wait: bool, as_json: bool) -> None:
    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            seen = digest or await _digest_seen(bot, thread, me, approved=approved)
            result = await bot.inbox.decide(
                thread,
                me,
                approved=approved,
                comment=comment,
                digest=seen,
                proof=person.proof_of(me),
                way="terminal",
            )
            if not result.counts:
                raise Refused(result.text, "not_entitled" if result.outcome == "not_entitled" else "moved")
            line = _what_was_decided(result)
            await report(bot, result.thread, me, wait=wait, as_json=as_json, line=line, decided=True)

    command.run(work, model=wait)


async def _digest_seen(bot: App, thread_id: str, me: Person, *, approved: bool) -> str:
    """The digest of the request, once the person has looked at it and said yes. Raises UnknownThread, Refused.

    If none waits, that of the last one, so that the inbox says what became of it; empty: there was none.
    """
    thread = await bot.store.load(thread_id)
    request, verb = thread.last_request, "approve" if approved else "reject"
    if request is None or thread.pending is None:
        return request.digest if request else ""
    if not asking.attended():
        call = one_line(request.title, CALL_CHARS_MAX)
        raise Refused(
            f"Nothing was decided: {call} waits, and there is no terminal to show it on. Look at it with "
            f"`bot show {thread_id}`, then name it: `bot {verb} {thread_id} --digest {request.digest[:DIGEST_CHARS]}`."
        )
    if not await asking.confirmed(
        request_entry(thread, request), f"{verb.capitalize()} it as {one_line(me.name, 100)}?"
    ):
        raise Refused("Nothing was decided.")
    return request.digest


def _what_was_decided(result: DecisionResult) -> str:
    request = result.step.request
    assert request is not None
    shown = approval(result.thread, request)
    danger = [one_line(shown.danger, 1_000)] if shown.danger else []
    rows = [*fields(shown.danger_rows, "  "), *fields(shown.rows, "  ")]
    return "\n".join([one_line(result.text, 1_000), *danger, *rows])


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
    arguments = {}
    for change in changes:
        key, is_one, value = change.partition("=")
        if not is_one or not key:
            raise exits.Misused(f"{change!r} is not NAME=VALUE.")
        arguments[key] = value

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            changed = await bot.inbox.edit(
                thread,
                me,
                step_id="",
                digest=digest,
                arguments=arguments,
                proof=person.proof_of(me),
                way="terminal",
            )
            done = f"Sent, to be checked. Look with `{console.program()} show {thread}` whether it was changed."

            def then(after: Thread) -> None:
                if wait:
                    _say_what_came_of(changed, after, as_json=as_json)

            await report(bot, changed, me, wait=wait, as_json=as_json, line=done, decided=True, then=then)

    command.run(work, model=wait)


def _say_what_came_of(changed: Thread, after: Thread, *, as_json: bool) -> None:
    """Say how the last edit in `changed` came out. Raises Failed if it did not become a request."""
    edit = after.step(next(one.step for one in reversed(changed.events) if isinstance(one, StepChosen) and one.edits))
    if edit and edit.request:
        if not as_json:
            print("The edit is possible: it has a request of its own.")
        return
    if edit and isinstance(edit.ended, StepRefused):
        raise command.Failed(f"The edit is not possible: {edit.ended.error} The request is as it was.")
    raise command.Failed("The edit was not checked; the request is as it was.")


def stop(thread: ThreadId, name: As = "", as_json: AsJson = False) -> None:
    """Stop what is under way and withdraw the request.

    What has begun goes on to its end. The thread stays open: the next message goes on.
    """

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            stopped = await bot.inbox.stop(thread, me)
            done = "Stopped. What has begun goes on to its end; the next message goes on."
            await report(bot, stopped, me, as_json=as_json, line=done)

    command.run(work)


def pause(thread: ThreadId, name: As = "", as_json: AsJson = False) -> None:
    """Pause a thread: begin nothing new until it is resumed.

    It holds between a step's selection and its execution, too. What is running finishes.
    """

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            paused = await bot.inbox.pause(thread, me)
            done = "Paused. What is running will finish, and its result is recorded."
            await report(bot, paused, me, as_json=as_json, line=done)

    command.run(work)


def resume(thread: ThreadId, name: As = "", wait: Wait = False, as_json: AsJson = False) -> None:
    """Resume a paused thread, or reopen a cancelled one.

    What was cancelled stays cancelled: a reopened thread goes on with the next message.
    """

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            resumed = await bot.inbox.resume(thread, me)
            reopened = isinstance(resumed.events[-1], ThreadReopened)
            done = "Reopened. What was cancelled stays cancelled; write to it to go on." if reopened else "Resumed."
            await report(bot, resumed, me, wait=wait, as_json=as_json, line=done)

    command.run(work, model=wait)


def cancel(thread: ThreadId, reason: Reason = "", name: As = "", as_json: AsJson = False) -> None:
    """Cancel a thread: begin nothing new, drop its requests.

    What is running finishes. `bot resume` reopens the thread.
    """

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
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
    check_place(place)

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            copy = await bot.inbox.fork(thread, at, me, place_of(bot, place))
            await report(bot, copy, me, as_json=as_json, line=copy.id)

    command.run(work)
