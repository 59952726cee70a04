"""Merges, one after the other: whose turn it is, what a newer one takes the place of, and what people hear of it."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from agent import ANOTHER_THREAD
from agent.notes import StoredNotes, bound
from agent.roster.deploy.tools.merges import NEWER_MERGED, SupersedeOlder
from agent.steps import Call
from store.events import StepRefused, ToolFinished, TriggerReceived
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events, pending
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.telling.story import ANN

AUTHOR = {
    f"GIT_{who}_{what}": text
    for who in ("AUTHOR", "COMMITTER")
    for what, text in (("NAME", "Ada Okafor"), ("EMAIL", "ada@example.com"))
}


def only_the_backend(table: dict[str, Any]) -> None:
    del table["components"]["frontend"]
    for environment in table["environments"].values():
        if environment.get("approval") == "none":
            environment["in_turn"] = True
        environment.pop("test", None)
        environment.pop("on_failed_test", None)


def superseding(*names: str) -> Any:
    def change(table: dict[str, Any]) -> None:
        only_the_backend(table)
        for name in names:
            (table["environments"].get(name) or table["components"][name])["supersede"] = True

    return change


def commits_on_top(bot: Bot, count: int) -> list[str]:
    """New commits on main, the oldest first."""
    repository, parent, found = str(bot.site.repository), bot.site.sha(MERGED), []
    for number in range(count):
        command = ["git", "-C", repository, "commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", f"Change {number}"]
        made = subprocess.run(command, check=True, capture_output=True, text=True, env=AUTHOR)
        found.append(parent := made.stdout.strip())
    bot.by_hand("git", "-C", repository, "update-ref", "refs/heads/main", parent)
    return found


async def merges(bot: Bot, sha: str, **more: str) -> Thread:
    data = {"sha": sha, "task": f"deploy {sha[:7]} to production", **more}
    trigger = TriggerReceived(
        id=f"merge of {sha}", at=datetime.now(UTC), source="github", name="pull_request_merged", data={**data}
    )
    return await bot.trigger(Place(channel="terminal", address=f"merge-{sha[:7]}"), trigger)


def on_staging(bot: Bot) -> list[str]:
    """The commits that were deployed there since the beginning, in order."""
    lines = [line for line in bot.site.deployed() if "staging" in line]
    return [word for line in lines[2:] for word in line.split() if len(word) == 40]


def said(thread: Thread) -> list[str]:
    return [str(s.chosen.arguments["message"]) for s in thread.state.steps.values() if "message" in s.chosen.arguments]


async def test_ten_merges_at_once_are_deployed_one_after_the_other_the_older_ones_first(bot: Bot) -> None:
    bot.set_up(only_the_backend)
    shas = commits_on_top(bot, 10)
    other = bot.on_another_machine()
    other.set_up(only_the_backend)
    threads = [await merges(bot, sha) for sha in reversed(shas)]
    async with bot.working(Scripted()), other.working(Scripted()):
        ended = await asyncio.gather(*(bot.rest(thread) for thread in threads))
    assert on_staging(bot) == shas
    assert [thread.status for thread in ended] == ["done"] * len(shas)
    assert {error for thread in ended for error in _errors(thread)} == set()


async def test_where_the_newest_wins_the_merges_between_are_passed_over_and_say_so(bot: Bot) -> None:
    bot.set_up(superseding("staging"))
    shas = commits_on_top(bot, 4)
    threads = [await merges(bot, sha) for sha in shas]
    async with bot.working(Scripted()):
        ended = await asyncio.gather(*(bot.rest(thread) for thread in threads))
    went = on_staging(bot)
    assert went[-1] == shas[-1]
    assert sorted(went, key=shas.index) == went
    assert len(went) < len(shas)
    for sha, thread in zip(shas, ended, strict=True):
        told = f"{sha[:7]} was not deployed to staging: "
        assert any(told in words for words in said(thread)) == (sha not in went), said(thread)


async def test_an_older_proposal_is_withdrawn_in_its_own_thread_when_a_newer_commit_was_merged(bot: Bot) -> None:
    bot.set_up(superseding("production"))
    older, newer = commits_on_top(bot, 2)
    async with bot.working(Scripted(deploy("backend", "production", older))):
        first = await bot.rest(await merges(bot, older))
        assert pending(first).asked.title.startswith("Deploy backend")
    async with bot.working(Scripted(deploy("backend", "production", newer))):
        second = await bot.rest(await merges(bot, newer))
        first = await bot.rest(await bot.store.load(first.id))
        second = await bot.settle(second, approved=True)
    assert first.pending is None
    assert said(first)[-1] == (
        f"{older[:7]} is not proposed for production any more: {newer[:7]}, which holds it, was merged after it, and "
        "takes its place."
    )
    (withdrawn,) = [s for s in first.state.steps.values() if s.chosen.intent == "withdraw_request"]
    assert withdrawn.chosen.by == "code"
    assert bot.site.running("backend", "production") == newer
    assert first.status == "done"


async def test_a_merge_that_has_not_proposed_anything_yet_goes_no_further(bot: Bot) -> None:
    bot.set_up(superseding("backend"))
    older, newer = commits_on_top(bot, 2)
    model = Scripted()
    async with bot.working(model):
        second = await bot.rest(await merges(bot, newer))
        late = await bot.rest(await merges(bot, older))
    assert len(model.prompts) == 1, "only the newer one asks"
    assert on_staging(bot) == [newer]
    assert (second.status, late.status) == ("done", "done")
    assert said(late) == [
        f"{older[:7]} was not deployed to staging: {newer[:7]}, which holds it, was merged after it, and takes its "
        "place."
    ]


async def test_a_deployment_that_has_begun_is_stopped_by_no_newer_merge(bot: Bot) -> None:
    bot.set_up(superseding("production"))
    older, newer = commits_on_top(bot, 2)
    gate, script = bot.site.home / "gate", bot.site.home / "deploy"
    async with bot.working(Scripted(deploy("backend", "production", older))):
        first = await bot.rest(await merges(bot, older))
    script.write_text(
        script.read_text().replace(
            "set -eu", f'set -eu\nwhile [ "$2" = production -a ! -e "{gate}" ]; do sleep 0.02; done'
        )
    )
    async with bot.working(Scripted(deploy("backend", "production", newer))):
        assert first.pending
        approved = await bot.inbox.decide(first.id, ANN, approved=True, digest=first.pending.digest)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(approved.thread):
                if now.open_steps("waiting"):
                    break
        second = await bot.rest(await merges(bot, newer))
        assert pending(second)
        gate.touch()
        first = await bot.rest(await bot.store.load(first.id))
    assert bot.site.running("backend", "production") == older
    assert "withdraw_request" not in [s.chosen.intent for s in first.state.steps.values()]
    assert not _told(first)


async def test_what_a_person_wants_in_plain_words_is_withdrawn_by_no_merge(bot: Bot) -> None:
    bot.set_up(superseding("production"))
    (newer,) = commits_on_top(bot, 1)
    words = "deploy backend v1.1.0 to production although it is not on staging"
    script = [deploy("backend", "production", "v1.1.0", message="m2", words=words)]
    async with bot.working(Scripted({"intent": "nothing_to_do"}, *script)):
        other = await bot.rest(await merges(bot, newer))
        asked = await bot.say(words, place="person")
    assert pending(asked).asked.facts["waived_by"]
    newest = commits_on_top(bot, 2)[-1]
    async with bot.working(Scripted()):
        await bot.rest(await merges(bot, newest))
        assert pending(await bot.rest(await bot.store.load(asked.id)))
    assert other.status == "done"


async def test_whoever_dies_while_telling_the_older_ones_tells_them_again_and_they_hear_it_once(bot: Bot) -> None:
    bot.set_up(superseding("production"))
    older, newer = commits_on_top(bot, 2)
    async with bot.working(Scripted(deploy("backend", "production", older))):
        first = await bot.rest(await merges(bot, older))
    second = await merges(bot, newer)

    class Dies(StoredNotes):
        async def change(self, name: str, text: str, *, expected: str) -> bool:
            if newer in text and await bot.store.load(first.id) != first:
                raise ConnectionAbortedError
            return await super().change(name, text, expected=expected)

    tool = SupersedeOlder(components=("backend",), revision=newer)
    with pytest.raises(ConnectionAbortedError):
        await tool.run(_call(bot, second, Dies(bot.store, lambda: datetime.now(UTC))))
    told = _told(await bot.store.load(first.id))
    assert [(one.data["sha"], one.data["newer"]) for one in told] == [(older, newer)]
    for _ in range(2):
        await tool.run(_call(bot, second, StoredNotes(bot.store, lambda: datetime.now(UTC))))
    assert _told(await bot.store.load(first.id)) == told


async def test_people_hear_first_what_a_hook_has_told(bot: Bot) -> None:
    bot.set_up(only_the_backend)
    (sha,) = commits_on_top(bot, 1)
    about = {"repository": "acme/shop", "pull_request": "42", "base": "main", "merged_by": "ada-okafor"}
    async with bot.working(Scripted()):
        thread = await bot.rest(await merges(bot, sha, **about, url="https://github.com/acme/shop/pull/42"))
    assert said(thread)[0] == (
        f"Pull request 42 of acme/shop was merged into main by ada-okafor: {sha[:7]}. I deploy it to staging. "
        "https://github.com/acme/shop/pull/42"
    )


async def test_whoever_is_interrupted_by_words_makes_room_for_the_next(bot: Bot) -> None:
    bot.set_up(only_the_backend)
    older, newer = commits_on_top(bot, 2)
    gate, script = bot.site.home / "gate", bot.site.home / "deploy"
    script.write_text(script.read_text().replace("set -eu", f'set -eu\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done'))
    async with bot.working(Scripted()):
        first = await merges(bot, older)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(first):
                if any(step.chosen.intent == "wait_for_deployment" for step in now.open_steps("waiting")):
                    break
        second = await merges(bot, newer)
        await bot.inbox.say(first.id, ANN, "what is this?")
        gate.touch()
        await bot.rest(await bot.store.load(second.id))
    assert on_staging(bot) == [older, newer]


def _call(bot: Bot, thread: Thread, notes: StoredNotes) -> Call:
    resources = bound(bot.roster["deploy"].resources, notes)
    return Call(
        thread_id=thread.id,
        key=f"{thread.id}/s2",
        attempt=1,
        now=datetime.now(UTC),
        requested_by="",
        resources=resources,
    )


def _told(thread: Thread) -> list[TriggerReceived]:
    triggers = events(thread, TriggerReceived)
    return [one for one in triggers if (one.source, one.name) == (ANOTHER_THREAD, NEWER_MERGED)]


def _errors(thread: Thread) -> list[str]:
    ended = [event for event in thread.events if isinstance(event, ToolFinished | StepRefused)]
    assert ended
    return [event.error for event in ended if event.error]
