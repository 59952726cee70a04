"""Who may steer a thread: by `[steer]`, and its requesters always; everybody else is refused, on every way there is."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.app import roster_problems
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from bot.team.people import People
from bot.team.steer import Steering, SteerTable
from channels.inbound import InboundMessage, Refused
from store.authority.words import MACHINE
from store.events import ThreadPaused
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Person, Place
from tests.telling.story import ANN, EVE, PLACE

TEAM = """
[people.dex]
slack = "U0DEX"
groups = ["release"]
[people.ana]
slack = "U0ANA"
emails = ["ana@example.com"]
[people.ben]
slack = "U0BEN"
"""
DEX, ANA, BEN, GUEST = (
    Person(name=n, address=f"U0{n.upper()}", trust="verified") for n in ("Dex", "Ana", "Ben", "Guest")
)
API = Person(name=MACHINE, address=MACHINE, trust="verified")
WAYS: dict[str, Callable[[Inbox, str, Person], Awaitable[Thread]]] = {
    "pause": lambda inbox, thread, by: inbox.pause(thread, by),
    "resume": lambda inbox, thread, by: inbox.resume(thread, by),
    "cancel": lambda inbox, thread, by: inbox.cancel(thread, by),
    "reopen": lambda inbox, thread, by: inbox.resume(thread, by),
    "fork": lambda inbox, thread, by: inbox.fork(thread, 1, by, Place(channel="terminal", address="copy")),
}
BEFORE = {"resume": "pause", "reopen": "cancel"}


def inbox_of(text: str, store: MemoryStore) -> Inbox:
    team = Team.model_validate(tomllib.loads(text))
    people = People(team.people)
    return Inbox(store, people=people, steering=Steering(people, team.steer))


async def steers(text: str, way: str, by: Person, asked: Person = ANA) -> bool:
    """Whether this person may do that in a thread of another's."""
    store = MemoryStore()
    inbox = inbox_of(text, store)
    thread_id = await inbox.message(PLACE, InboundMessage(asked, "deploy it", "m1"), agent="deploy")
    if way in BEFORE:
        await WAYS[BEFORE[way]](inbox, thread_id, asked)
    before = await store.load(thread_id)
    [came] = await asyncio.gather(WAYS[way](inbox, thread_id, by), return_exceptions=True)
    match came:
        case Thread():
            return True
        case Refused() as why:
            assert why.reason == "not_entitled"
            assert str(why).endswith("Nothing was changed.")
            assert await store.load(thread_id) == before
            return False
        case wrong:
            raise wrong


@pytest.mark.parametrize("way", WAYS)
async def test_only_the_group_and_who_asked_steer_a_thread(way: str) -> None:
    text = TEAM + '[steer]\ngroup = "release"\n'
    may = {by.name: await steers(text, way, by) for by in (DEX, ANA, BEN, GUEST, API)}
    assert may == {"Dex": True, "Ana": True, "Ben": False, "Guest": False, "api": True}
    assert not await steers(text, way, DEX.model_copy(update={"trust": "unverified"}))
    assert not await steers(text, way, ANA.model_copy(update={"trust": "unverified"}))
    by_mail = Person(name="A.", address="Ana@example.com", trust="verified")
    assert await steers(text, way, by_mail), "she is who asked, whatever way she comes"
    assert await steers(text, way, GUEST, asked=GUEST)
    unproven = GUEST.model_copy(update={"trust": "unverified"})
    assert await steers(text, way, unproven, asked=unproven), "what was asked for as a guest"
    assert not await steers(text, way, unproven, asked=GUEST)


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_rule_the_team_steers(way: str) -> None:
    may = {by.name: await steers(TEAM, way, by) for by in (DEX, BEN, GUEST, API)}
    assert may == {"Dex": True, "Ben": True, "Guest": False, "api": True}


@pytest.mark.parametrize("way", WAYS)
async def test_where_the_team_file_names_nobody_all_that_are_verified_steer(way: str) -> None:
    assert await steers("", way, GUEST)
    assert not await steers("", way, EVE)


async def test_an_agent_can_have_a_group_of_its_own() -> None:
    text = TEAM + '[steer]\ngroup = "team"\nagents = { deploy = "release" }\n'
    assert [await steers(text, "cancel", by) for by in (DEX, BEN)] == [True, False]
    other = text.replace("deploy =", "rollback =")
    assert [await steers(other, "cancel", by) for by in (DEX, BEN)] == [True, True]


async def test_words_that_nobody_vouches_for_make_nobody_a_requester() -> None:
    text = TEAM + '[steer]\ngroup = "release"\n'
    unproven = BEN.model_copy(update={"trust": "unverified"})
    store = MemoryStore()
    inbox = inbox_of(text, store)
    thread_id = await inbox.message(PLACE, InboundMessage(ANA, "deploy it", "m1"), agent="deploy")
    await inbox.message(PLACE, InboundMessage(unproven, "and now?", "m2"), agent="deploy")
    with pytest.raises(
        Refused, match="ben may not steer this thread: only who wrote in it, and members of release, may"
    ):
        await inbox.pause(thread_id, BEN)
    await inbox.say(thread_id, BEN, "and now?")
    assert (await inbox.pause(thread_id, BEN)).status == "paused"


@pytest.mark.parametrize(
    ("then", "by"),
    [
        (TEAM.replace("U0BEN", "U0NEW"), Person(name="Ben", address="U0NEW", trust="verified")),
        (TEAM.replace("U0BEN", "U0NEW"), BEN),
        (TEAM.replace("U0BEN", "U0NEW").replace("U0ANA", "U0BEN"), BEN),
        (TEAM.replace('slack = "U0BEN"', ""), BEN),
    ],
)
async def test_who_wrote_steers_while_they_are_still_who_they_were(then: str, by: Person) -> None:
    table = '[steer]\ngroup = "release"\n'
    store = MemoryStore()
    thread_id = await inbox_of(TEAM + table, store).message(PLACE, InboundMessage(BEN, "do it", "m1"), agent="deploy")
    with pytest.raises(Refused, match="may not steer this thread"):
        await inbox_of(then + table, store).pause(thread_id, by)
    assert (await inbox_of(TEAM + table, store).pause(thread_id, BEN)).status == "paused"


async def test_who_wrote_under_a_typed_name_is_not_whose_name_it_is() -> None:
    typed = Person(name="ben", address="U0BEN", login="mallory@pc", trust="verified")
    store = MemoryStore()
    thread_id = await inbox_of("", store).message(PLACE, InboundMessage(typed, "do it", "m1"), agent="deploy")
    with pytest.raises(Refused, match="may not steer this thread"):
        await inbox_of(TEAM + '[steer]\ngroup = "release"\n', store).pause(thread_id, BEN)


async def test_who_steered_is_recorded_as_the_team_knows_them() -> None:
    store = MemoryStore()
    inbox = inbox_of(TEAM, store)
    thread_id = await inbox.message(PLACE, InboundMessage(ANN, "deploy it", "m1"), agent="deploy")
    paused = (await inbox.pause(thread_id, DEX)).events[-1]
    assert isinstance(paused, ThreadPaused)
    assert paused.by.member == "dex"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            'group = "relaese"',
            "steer.group in the team file: 'relaese' is no group that somebody is in; did you mean release?",
        ),
        (
            'agents = { deploy = "leads" }',
            "steer.agents.deploy in the team file: 'leads' is no group that somebody is in",
        ),
        ('agents = { deply = "release" }', "steer.agents.deply in the team file: 'deply' is no agent that is set up"),
    ],
)
def test_a_name_that_is_nobodys_is_refused_at_start(table: str, problem: str, tmp_path: Path) -> None:
    site = '[agents.deploy.components.a]\nrepository = "/srv/a.git"\n'
    team = Team.model_validate(tomllib.loads(f"{site}{TEAM}[steer]\n{table}\n"))
    found = roster_problems(Setup(Settings(bot_home=tmp_path), team))
    assert any(text.startswith(problem) for text in found), found


def test_the_default_is_said() -> None:
    assert Steering().group_of("deploy") == "anyone"
    assert Steering(table=SteerTable(group="release")).group_of("deploy") == "release"
