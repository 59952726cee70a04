"""What the Slack desk lists is whole: no request and no thread is left out because others are newer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.desks.slack import HOME_ITEMS_MAX, SlackDesk
from bot.team.people import Member, People
from channels.slack.events import Installation
from channels.slack.home import Home
from channels.slack.place import place_of
from store.base import Store
from store.events import Event
from store.values import Person
from tests.telling.story import approved, asked, cancelled, chosen, done, message, opened, requested

ANN = Person(name="Ann", address="U1", trust="verified")
BEN = Person(name="Ben", address="U2", trust="verified")
CAT = Person(name="Cat", address="U3", trust="verified")
PEOPLE = People({"ann": Member(name="Ann", slack="U1", groups=("sre",)), "ben": Member(name="Ben", slack="U2")})
MANY = 70
"""More than any window there ever was."""


async def thread(store: Store, number: int, *events: Event, ago: timedelta = timedelta()) -> str:
    at, place = datetime.now(UTC) - ago, place_of("T1", "C1", f"17000000{number:02}.000100")
    thread_id = f"t{number}"
    await store.post(thread_id, *(e.model_copy(update={"at": at}) for e in (opened("ops", place), *events)))
    return thread_id


async def newer(store: Store, by: Person = CAT) -> None:
    for number in range(20, 20 + MANY):
        await thread(store, number, message(by=by), done("s2"))


def desk(store: Store) -> SlackDesk:
    return SlackDesk(store, lambda _: "ops", Installation("T1", "UBOT", "", "https://x.slack.com/"), PEOPLE)


def ids(home: Home) -> tuple[list[str], list[str], list[str]]:
    waiting, own, recent = ([item.thread_id for item in items] for items in (home.waiting, home.asked, home.recent))
    return waiting, own, recent


REQUEST = (chosen("s2", acts=True), requested("s2", group="sre"))


async def test_home_shows_what_waits_behind_many_newer_threads(store: Store) -> None:
    request = await thread(store, 1, message(by=BEN), *REQUEST)
    question = await thread(store, 2, message(by=ANN), asked("s2"))
    own = await thread(store, 3, message(by=ANN), done("s2"))
    part = await thread(store, 4, message(by=BEN), message("m2", by=ANN), done("s3"))
    voted = await thread(
        store, 5, message(by=BEN), chosen("s2", acts=True), requested("s2", group="sre", quorum=2),
        approved("s2", ANN, groups=("sre",)),
    )  # fmt: skip
    await newer(store)
    home = await desk(store).home_of(ANN)
    waiting, asked_by, recent = ids(home)
    assert (sorted(waiting), asked_by, recent) == ([request, question], [own], [voted, part])
    assert not home.more
    assert ids(await desk(store).home_of(BEN)) == ([voted, request], [part], [])
    assert ids(await desk(store).home_of(Person(name="Dan", address="U9", trust="verified"))) == ([], [], [])


async def test_home_shows_the_newest_of_each_and_says_that_there_are_more(store: Store) -> None:
    await newer(store, BEN)
    home = await desk(store).home_of(BEN)
    assert len(home.asked) == HOME_ITEMS_MAX
    assert home.more


async def test_home_does_not_read_the_whole_index_for_who_takes_part_in_little(store: Store) -> None:
    await thread(store, 1, message(by=BEN), done("s2"))
    waiting = await thread(store, 2, message(by=BEN), asked("s2"))
    for number in range(20, 20 + MANY):
        await thread(store, number, message(by=CAT), done("s2"))
    own = await thread(store, 3, message(by=BEN), done("s2"))
    few = replace(desk(store), home_threads_max=MANY)
    assert ids(await few.home_of(BEN)) == ([waiting], [own], []), "what is old is left out, unless it waits for them"


async def test_every_thread_that_changed_lately_is_swept(store: Store) -> None:
    await thread(store, 1, message("from/slack/C1:1700000001.000100", by=ANN), done("s2"), ago=timedelta(days=6))
    await thread(store, 2, message("from/slack/C1:1700000002.000100", by=ANN), ago=timedelta(days=8))
    await thread(store, 3, message("from/slack/C1:1700000003.000100", by=ANN), cancelled())
    for number in range(20, 250):
        await thread(store, number, message(f"from/slack/C1:17000000{number:02}.000100", by=CAT), done("s2"))
    swept = await desk(store).places_to_sweep()
    assert len(swept) == 231
    assert "1700000001.000100" in swept.values()
    assert next(iter(swept.values())) == "17000000249.000100", "the newest thread first"


async def test_home_asks_those_to_whom_a_question_was_put_and_nobody_who_was_only_quoted(store: Store) -> None:
    quoted = message(by=CAT.model_copy(update={"trust": "third_party"}))
    await thread(store, 1, quoted, message("m2", by=ANN), asked("s3"))
    [anns] = (await desk(store).home_of(ANN)).waiting
    assert anns.asks
    assert [item.asks for item in (await desk(store).home_of(CAT)).waiting] == [None]
