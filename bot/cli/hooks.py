"""`bot hooks`: lists the hooks with what they last got, puts a delivery in again, and says what one would do.

`bot.web.hooks` takes them. A delivery that is put in again is the same one: if it is in already, nothing is done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.app import App, opened
from bot.cli import command, console, exits
from bot.cli.options import AsJson
from bot.setup import Setup
from bot.team.hooks import kind_of, secret_variable
from bot.web.hooks.judging import trigger_of
from bot.web.hooks.records import Record
from bot.web.hooks.serving import hooks_of, url_of
from bot.web.hooks.taking import Hook, Hooks, Plan, Taken, Taker
from bot.web.hooks.way_in import BODY_BYTES_MAX, refused_note
from channels import places
from channels.hooks.kind import Delivery, Posted, Unreadable, headers_of
from channels.hooks.kinds import KINDS
from channels.inbound import Refused
from store.events import TriggerReceived
from store.text import instant, one_line

SHOWN = 20
TEST_ID = "test-0000-0000"
VALUE_CHARS_MAX = 300

app = typer.Typer(help="List the hooks, or try or repeat a delivery.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="the hook's name in the team file")]


@app.callback(invoke_without_command=True)
def hooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the hooks: where each is posted to, and what it last got."""
    if context.invoked_subcommand:
        if as_json:
            raise exits.Misused("Put --json behind the command: `bot hooks show NAME --json`.")
        return

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            served = hooks_of(bot, with_secrets=False)
            found = [
                await _listed(bot.store, served, hook, url_of(setup, hook.name)) for hook in served.by_name.values()
            ]
        if as_json:
            console.print_json(found)
        elif found:
            rows = [(one["name"], one["kind"], one["url"], one["secret"], one["last_in_words"]) for one in found]
            console.print_table(("NAME", "KIND", "URL", "SECRET", "LAST"), rows)
        else:
            console.say("There are none: bot.toml has no [hooks.NAME].")

    command.run(work)


@app.command()
def show(
    name: Name,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=200, help="how many")] = SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show what a hook got, the newest first, and what came of it. Old deliveries are not kept."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            served = hooks_of(bot, with_secrets=False)
            hook = _named(served, name)
            records = await served.records(hook).newest(last)
        if as_json:
            console.print_json([_document(record) for record in records])
        elif records:
            rows = [(record.id, instant(record.at), one_line(record.event, 60), _outcome(record)) for record in records]
            console.print_table(("ID", "WHEN", "EVENT", "WHAT CAME OF IT"), rows)
        else:
            console.say(f"{name} has got nothing yet.")

    command.run(work)


@app.command()
def replay(
    delivery: Annotated[str, typer.Argument(metavar="ID", help="the delivery's id, as `bot hooks show` prints it")],
) -> None:
    """Put a delivery in again: by the rules of today, where nothing came of it. It says so if it is in already."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            served = hooks_of(bot, _takers(bot), with_secrets=False)
            hook, record = await _found(served, delivery)
            try:
                taken = await served.replay(hook, record)
            except Unreadable as error:
                raise Refused(f"{hook.name} cannot read it any more: {error}") from None
        print(_said(taken))

    command.run(work)


@app.command("test")
def try_out(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a payload, as the service posts it")],
    event: Annotated[
        str, typer.Option("--event", metavar="E", help="the event, where a header names it: pull_request")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what a payload would do, and do nothing. It needs no signature."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            served = hooks_of(bot, with_secrets=False)
            hook = _named(served, name)
            delivery = _read(hook, file, event, served)
            plan = await served.plan(hook, delivery, claims=False)
            rule = hook.table.on[plan.rule - 1] if plan.rule else None
            trigger = trigger_of(hook.kind, hook.name, rule, delivery, bot.now()) if rule else None
        document = _would(delivery, plan, trigger)
        if as_json:
            console.print_json(document)
        else:
            _print(document)

    command.run(work)


def _takers(bot: App) -> Sequence[Taker]:
    if not any(kind_of(name, table) is KINDS["email"] for name, table in bot.setup.team.hooks.items()):
        return ()
    from bot.web.mail_in import mail_takers  # it needs the libraries of mail

    return mail_takers(bot)


def _print(document: dict[str, Any]) -> None:
    for name, value in document.items():
        if isinstance(value, dict):
            for inner, one in value.items():
                console.prose(f"{name}.{inner}: {one_line(str(one), VALUE_CHARS_MAX)}")
        elif value:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            console.prose(f"{name.replace('_', ' ')}: {one_line(text, VALUE_CHARS_MAX)}")


def _read(hook: Hook, file: Path, event: str, served: Hooks) -> Delivery:
    """Raises Refused."""
    named_by, id_by = headers_of(hook.kind, hook.options)
    if event and not named_by:
        raise Refused(f"--event has no effect: the payload itself says the event of {hook.kind.name}.")
    if named_by and not event:
        raise Refused(f"The header {named_by} says the event, which the payload does not: add --event.")
    headers = {name.lower(): value for name, value in ((named_by, event), (id_by, TEST_ID)) if name}
    try:
        with file.open("rb") as opened_file:
            body = opened_file.read(BODY_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from None
    if len(body) > BODY_BYTES_MAX:
        raise Refused(f"{file} has more than {BODY_BYTES_MAX:,} bytes, so it would be refused.")
    try:
        return hook.kind.read(Posted(headers, body, served.now()), hook.options)
    except Unreadable as error:
        raise Refused(f"It would be refused: {error}") from None


def _named(served: Hooks, name: str) -> Hook:
    if hook := served.by_name.get(name):
        return hook
    raise Refused(f"There is no hook {name!r}; there are: {', '.join(served.by_name) or 'none'}.")


async def _found(served: Hooks, delivery: str) -> tuple[Hook, Record]:
    for hook in served.by_name.values():
        if record := await served.records(hook).find(delivery):
            return hook, record
    raise Refused(f"No hook has a delivery {delivery[:60]!r}: `bot hooks show NAME` lists those that are kept.")


async def _listed(store: Any, served: Hooks, hook: Hook, url: str) -> dict[str, Any]:
    newest = await served.records(hook).newest(1)
    refused = json.loads(await store.get_note(refused_note(hook.name)) or "null")
    last = _document(newest[0]) if newest else None
    words = [f"{instant(one.at)}: {one_line(one.event, 60)}, {_outcome(one)}" for one in newest] or ["nothing yet"]
    if refused:
        words.append(f"refused {refused['at'][:16]}Z: {refused['why']}")
    secret = "set" if hook.secrets else f"set {secret_variable(hook.name)}"
    return {
        "name": hook.name,
        "kind": hook.kind.name,
        "url": url,
        "secret": secret,
        "rules": len(hook.table.on),
        "last": last,
        "refused": refused,
        "last_in_words": "; ".join(words),
    }


def _document(record: Record) -> dict[str, Any]:
    return {
        **record.model_dump(mode="json", include={"id", "event", "at", "did", "why", "thread", "done"}),
        "bytes": record.size_bytes,
    }


_DID = {
    "opened": "opened",
    "joined": "went on with",
    "resumed": "woke",
    "taken": "was taken",
    "nothing": "nothing",
    "test": "a test of the service",
}


def _outcome(record: Record) -> str:
    what = " ".join(filter(None, (_DID[record.did], record.thread)))
    what = f"{what}: {record.why}" if record.why else what
    return what if record.done else f"{what} (not done yet)"


def _said(taken: Taken) -> str:
    what = " ".join(filter(None, (_DID[taken.did], taken.thread)))
    what = f"{what}: {taken.why}" if taken.why else what
    return f"It is in already: {what}." if taken.known else f"{what.capitalize()}."


def _would(delivery: Delivery, plan: Plan, trigger: TriggerReceived | None) -> dict[str, Any]:
    tells = [step for step in plan.steps if step.do == "tell"]
    return {
        "event": delivery.event,
        "ready_made": delivery.ready.event if delivery.ready else "",
        "fields": dict(delivery.ready.fields) if delivery.ready else {},
        "would": {"opened": "open a thread", "joined": "go on with a thread", "resumed": "wake a thread"}.get(
            plan.did, plan.did
        ),
        "why": plan.why,
        "rule": plan.rule,
        "thread": plan.thread,
        "place": places.name_of(tells[0].place) if tells else "",
        "agent": tells[0].agent if tells else "",
        "trigger": trigger.name if trigger and tells else "",
        "data": trigger.data if trigger and tells else {},
        "others_wrote": [*trigger.third_party] if trigger and tells else [],
    }
