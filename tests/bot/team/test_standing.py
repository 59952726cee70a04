"""Standing approvals: who may grant one, what it covers, and that it ends when somebody says so."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.authority import CallToApprove
from agent.steps import Meaning
from bot.team import standing
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from bot.team.steer import Steering, SteerTable
from bot.team.tokens import sha256_of
from channels.inbound import Refused
from store.authority.terms import names_of
from store.base import Store
from store.events import ThreadOpened, UnknownEvent
from store.memory import MemoryStore
from store.standing import StandingGranted
from store.values import Person, Place
from tests.fakes.clock import Clock
from tests.fakes.servers import Server
from tests.stories.program import Bot
from tests.telling.playbook import Push, World, done

TEAM = """
[people.dex]
slack = "U0DEX"
groups = ["release", "leads"]
[people.ana]
slack = "U0ANA"
groups = ["release"]
[people.eve]
slack = "U0EVE"
groups = ["leads"]
"""
POLICY = """
[[rule]]
tool = "push"
when.target = "prod"
group = "release"
standing = { group = "leads", max = "8h" }
"""
NOT_BY_WHO_ASKED = POLICY.replace("standing =", "requester_may = false\nstanding =")
DEX = Person(name="Dex", address="U0DEX", trust="verified")
ANA = Person(name="Ana", address="U0ANA", trust="verified")
EVE = Person(name="Eve", address="U0EVE", trust="verified")
STRANGER = Person(name="Dex", address="U0XXX", trust="verified")
START = Clock().now


def policies(store: Store | None, text: str = TEAM + POLICY) -> Policies:
    team = Team.model_validate(tomllib.loads(text))
    return Policies(People(team.people, team.tokens), team.rules, team.business_hours, store=store)


def call(**more: Any) -> CallToApprove:
    given: dict[str, Any] = {"agent": "ops", "intent": "push", "at": START, "unverified": False}
    given |= {"thread": "t1", "step": "s1"}
    return CallToApprove(**{"requesters": ("ana",), "arguments": {"target": "prod"}} | given | more)


def asked_for_by(*people: Person) -> CallToApprove:
    found = [policies(None).identified(person) for person in people]
    return call(people=tuple(found), requesters=tuple(sorted(frozenset().union(*map(names_of, found)))))


async def granted(store: Store, by: Person = EVE, hours: float = 4, **more: Any) -> StandingGranted:
    text = more.pop("text", TEAM + POLICY)
    team, rule = Team.model_validate(tomllib.loads(text)), policies(store, text).holding("push", {"target": "prod"})
    assert rule is not None
    given: dict[str, Any] = {"agent": "ops", "intent": "push", "at": START, "reason": "a migration"}
    given["way"] = "terminal"
    bounds: dict[str, Any] = {
        name: more.pop(name) for name in ("when", "askers", "uses", "narrow", "pins") if name in more
    }
    return await standing.grant(
        store,
        People(team.people, team.tokens),
        by,
        bounds=standing.Bounds(**{"when": {"target": "prod"}} | bounds),
        rule=rule,
        length=timedelta(hours=hours),
        **given | more,
    )


async def revoked(store: Store, grant_id: str, by: Person = ANA, after: timedelta = timedelta()) -> StandingGranted:
    people = People(Team.model_validate(tomllib.loads(TEAM)).people)
    return (await standing.revoke(store, Steering(people), by, grant_id, at=START + after)).granted


async def active(store: Store, at: datetime) -> list[StandingGranted]:
    return [grant.granted for grant in await standing.active(store, at)]


# Granting and revoking


async def test_a_grant_is_on_record_with_who_gave_it_and_why(store: Store) -> None:
    grant = await granted(store, proof="terminal")
    (found,) = await active(store, START)
    assert found == grant
    assert (found.by.member, found.groups, found.reason, found.proof) == ("eve", ("leads",), "a migration", "terminal")
    assert found.until == START + timedelta(hours=4)
    opened = (await store.load("standing")).events[0]
    assert isinstance(opened, ThreadOpened)
    assert (opened.agent, opened.place.address) == ("", "standing")


@pytest.mark.parametrize("by", [ANA, STRANGER, EVE.model_copy(update={"trust": "unverified"})])
async def test_only_whom_the_policy_names_may_grant(by: Person, store: Store) -> None:
    with pytest.raises(Refused, match=f"(?i){by.name} may not grant this: only members of leads may"):
        await granted(store, by)
    assert not await store.exists("standing")


async def test_nothing_is_granted_for_longer_than_the_policy_says(store: Store) -> None:
    await granted(store, hours=8)
    with pytest.raises(Refused, match="for at most 8h"):
        await granted(store, hours=8.01)


async def test_nothing_is_granted_by_a_way_that_does_not_count(store: Store) -> None:
    text = TEAM + POLICY.replace("standing =", 'decide_by = ["slack"]\nstanding =')
    with pytest.raises(Refused, match="count only by a click in Slack, so they cannot be approved here in advance"):
        await granted(store, text=text)
    assert (await granted(store, text=text, way="slack")).way == "slack"


async def test_a_grant_ends_by_itself(store: Store) -> None:
    grant = await granted(store)
    assert await active(store, grant.until - timedelta(microseconds=1)) == [grant]
    assert await active(store, grant.until) == []
    with pytest.raises(Refused, match="already ended at 2026-11-20 13:00 UTC"):
        await revoked(store, grant.id, after=timedelta(hours=4))


async def test_any_member_who_is_known_for_sure_may_revoke(store: Store) -> None:
    first, second = await granted(store), await granted(store, DEX)
    assert await revoked(store, first.id) == first
    assert await active(store, START) == [second]
    with pytest.raises(Refused, match=f"{first.id} was already revoked by ana at 2026-11-20 09:00 UTC"):
        await revoked(store, first.id)
    with pytest.raises(Refused, match="I cannot verify who that is"):
        await revoked(store, second.id, DEX.model_copy(update={"trust": "third_party"}))
    with pytest.raises(
        Refused, match=f"zoe may not revoke {second.id}: only who granted it, and everybody in the team file, may"
    ):
        await revoked(store, second.id, Person(name="zoe", address="zoe", trust="verified"))
    assert await active(store, START) == [second]
    with pytest.raises(Refused, match="There is no standing approval 'g0'"):
        await revoked(store, "g0")


async def test_who_granted_it_may_revoke_it_while_they_are_still_who_they_were(store: Store) -> None:
    grant = await granted(store)
    table = SteerTable(group="release")
    for text, by in ((TEAM.replace("U0EVE", "U0NEW"), "U0NEW"), (TEAM.replace('slack = "U0EVE"', ""), "U0EVE")):
        people = People(Team.model_validate(tomllib.loads(text)).people)
        with pytest.raises(Refused, match="only who granted it, and members of release, may"):
            await standing.revoke(
                store, Steering(people, table), EVE.model_copy(update={"address": by}), grant.id, at=START
            )
    people = People(Team.model_validate(tomllib.loads(TEAM)).people)
    assert await standing.revoke(store, Steering(people, table), EVE, grant.id, at=START)


async def test_where_nothing_was_ever_granted_nothing_stands(store: Store) -> None:
    assert await active(store, START) == []
    with pytest.raises(Refused, match="There is no standing approval"):
        await revoked(store, "g0")


async def test_a_log_that_a_newer_version_wrote_in_approves_nothing() -> None:
    store = MemoryStore()
    await granted(store)
    newer = UnknownEvent(kind="standing_narrowed", id="n1", at=START, raw={"kind": "standing_narrowed", "id": "n1"})
    await store.post("standing", newer)
    assert await active(store, START) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(28_800, "8h"), (172_800, "2d"), (5_400, "90m"), (61, "61s"), (90_000, "25h")]
)
def test_a_length_is_said_as_it_is_written(seconds: int, words: str) -> None:
    assert standing.in_words(timedelta(seconds=seconds)) == words


# What it covers


async def test_it_covers_such_calls_and_no_others(store: Store) -> None:
    grant = await granted(store)
    here = policies(store)
    assert await here.standing_approval(call()) == grant
    others: list[dict[str, Any]] = [
        {"agent": "deploy"},
        {"intent": "touch"},
        {"arguments": {"target": "staging"}},
        {"arguments": {}},
        {"at": grant.until},
        {"unverified": True},
    ]
    for other in others:
        assert await here.standing_approval(call(**other)) is None, other
    await revoked(store, grant.id)
    assert await here.standing_approval(call()) is None


async def test_without_a_store_nothing_stands() -> None:
    assert await policies(None).standing_approval(call()) is None


async def test_who_asked_has_not_granted_it_where_they_may_not_approve_it(store: Store) -> None:
    text = TEAM + NOT_BY_WHO_ASKED
    await granted(store, EVE, text=text)
    here = policies(store, text)
    assert await here.standing_approval(call(requesters=("ana", "eve"))) is None
    by_dex = await granted(store, DEX, text=text)
    assert await here.standing_approval(call(requesters=("ana", "eve"))) == by_dex
    assert await here.standing_approval(call(requesters=("eve", "dex"))) is None


async def test_who_asked_may_have_granted_it_where_they_may_approve_it(store: Store) -> None:
    grant = await granted(store, EVE)
    assert await policies(store).standing_approval(call(requesters=("eve",))) == grant


CHANGES: dict[str, Callable[[str], str]] = {
    "another quorum": lambda text: text.replace("standing =", "quorum = 2\nstanding ="),
    "a shorter time": lambda text: text.replace("8h", "7h"),
    "a stronger rule for others": lambda text: text.replace("standing =", "unverified = { quorum = 2 }\nstanding ="),
    "no standing approvals": lambda text: text.partition("standing =")[0],
    "no policy": lambda text: text.partition("[[rule]]")[0],
    "somebody who is no lead any more": lambda text: text.replace('groups = ["leads"]', 'groups = ["release"]'),
    "somebody who has left": lambda text: text.replace("[people.eve]", "[people.eva]"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_it_holds_only_while_the_team_file_says_the_same(change: Callable[[str], str]) -> None:
    store = MemoryStore()
    grant = await granted(store)
    assert policies(store).still_valid(grant, START)
    after = policies(store, change(TEAM + POLICY))
    assert not after.still_valid(grant, START)
    assert await after.standing_approval(call()) is None


async def test_a_policy_that_is_only_written_otherwise_is_the_same() -> None:
    store = MemoryStore()
    grant = await granted(store)
    same = TEAM + POLICY.replace("standing =", 'expires = "24h"\nquorum = 1\nstanding =')
    assert await policies(store, same).standing_approval(call()) == grant


# What it is bound to

ZOE = Person(name="Ana", address="U0ZOE", email="zoe@elsewhere.example", trust="verified")
API = Person(name="api", address="api", trust="verified")


async def test_a_stranger_profits_from_no_grant_that_is_not_bound(store: Store) -> None:
    await granted(store)
    here = policies(store)
    assert await here.standing_approval(asked_for_by(ANA)) is not None
    for people in ((ZOE,), (ANA, ZOE), (API,)):  # A machine's token is nobody in [people] either.
        assert await here.standing_approval(asked_for_by(*people)) is None
    assert await here.standing_approval(call(strangers=("somebody",))) is None
    # A member may have an address that the team file does not name.
    other = ANA.model_copy(update={"email": "ana@elsewhere.example"})
    assert await here.standing_approval(asked_for_by(other)) is not None
    at_terminal = Person(name="Ana", address="ana", login="ana@host", trust="verified")
    assert await here.standing_approval(asked_for_by(at_terminal)) is not None


@pytest.mark.parametrize("bound", [{"uses": 3}, {"narrow": True}, {"askers": ("anyone",)}])
async def test_a_stranger_profits_from_a_grant_that_is_bound(bound: dict[str, Any], store: Store) -> None:
    grant = await granted(store, **bound)
    assert await policies(store).standing_approval(asked_for_by(ZOE)) == grant


@pytest.mark.parametrize(
    ("askers", "people", "covered"),
    [
        (("ana",), (ANA,), True),
        (("ana",), (), False),
        (("ana",), (EVE,), False),
        (("ana",), (ANA, EVE), False),
        (("leads",), (EVE, DEX), True),
        (("leads",), (ANA,), False),
        (("team",), (ANA, EVE), True),
        (("team",), (ANA, ZOE), False),
        (("anyone",), (ANA, ZOE), True),
        (("U0ZOE",), (ZOE,), True),
        (("U0ZOE",), (ZOE, STRANGER), False),
        (("U0ZOE",), (ZOE.model_copy(update={"trust": "unverified"}),), False),
        (("leads",), (Person(name="x", address="leads", trust="verified"),), False),
        (("ana", "U0ZOE"), (ANA, ZOE), True),
    ],
)
async def test_it_covers_only_what_those_ask_for_whom_it_names(
    askers: tuple[str, ...], people: tuple[Person, ...], covered: bool, store: Store
) -> None:
    await granted(store, askers=askers)
    found = await policies(store).standing_approval(asked_for_by(*people))
    assert (found is not None) == covered


AT_TERMINAL = Person(name="Eve", address="eve", login="eve@host", trust="verified")
BY_TOKEN = Person(name="Eve", address="eve", token="eve-ci", trust="verified")
TOKEN = f"""
[tokens.eve-ci]
sha256 = "{sha256_of("a token of Eve's")}"
owner = "eve"
scopes = ["decide"]
until = 2027-01-31
"""


@pytest.mark.parametrize(
    ("by", "old", "new"),
    [
        (EVE, "U0EVE", "U0NEW"),
        (EVE, 'slack = "U0EVE"', ""),
        (AT_TERMINAL, 'slack = "U0EVE"', "logins = []"),
        (BY_TOKEN, TOKEN, ""),
        (BY_TOKEN, 'owner = "eve"', 'owner = "dex"'),
        (BY_TOKEN, '"decide"', '"read"'),
        (BY_TOKEN, "2027-01-31", "2026-11-01"),
    ],
)
async def test_it_holds_while_what_it_was_granted_by_is_still_theirs(by: Person, old: str, new: str) -> None:
    store, text = MemoryStore(), TEAM + TOKEN + POLICY
    grant = await granted(store, by, text=text)
    assert await policies(store, text).standing_approval(call()) == grant
    after = policies(store, text.replace(old, new))
    assert not after.still_valid(grant, START)
    assert await after.standing_approval(call()) is None


@pytest.mark.parametrize(
    ("askers", "new"),
    [
        (("ana",), {"U0ANA": "U0NEW"}),
        (("team",), {"U0ANA": "U0NEW"}),
        ((), {"U0ANA": "U0NEW"}),
        (("leads",), {"U0ANA": "U0NEW", "U0DEX": "U0ANA"}),
        ((), {"U0ANA": "U0NEW", "U0DEX": "U0ANA"}),
    ],
)
async def test_who_asked_profits_while_they_are_still_who_they_were(
    askers: tuple[str, ...], new: dict[str, str]
) -> None:
    """Ana asked; then her account is nobody's, or somebody else's."""
    store, text = MemoryStore(), TEAM + POLICY
    await granted(store, askers=askers)
    recorded = call(people=(policies(None).identified(ANA),))
    assert (await policies(store).standing_approval(recorded) is None) == (askers == ("leads",))
    for old, other in new.items():
        text = text.replace(old, other)
    assert await policies(store, text).standing_approval(recorded) is None


async def test_an_address_that_was_typed_profits_from_nothing(store: Store) -> None:
    await granted(store, askers=("U0ZOE",))
    typed = Person(name="U0ZOE", address="U0ZOE", login="mallory@pc", trust="verified")
    assert await policies(store).standing_approval(call(people=(typed,))) is None


async def test_who_granted_it_before_the_team_file_knew_them_has_not_granted_what_they_ask_for(store: Store) -> None:
    anyone = POLICY.replace('"leads"', '"anyone"').replace("standing =", "requester_may = false\nstanding =")
    grant = await granted(store, STRANGER, text=TEAM + anyone)
    now = policies(store, TEAM + '[people.gus]\nslack = "U0XXX"\nemails = ["gus@example.com"]\n' + anyone)
    assert await now.standing_approval(call()) == grant
    assert await now.standing_approval(call(requesters=("gus", "gus@example.com"))) is None


async def test_it_covers_only_revisions_of_its_pattern(store: Store) -> None:
    text = TEAM + POLICY.replace('when.target = "prod"\n', "")
    grant = await granted(store, text=text, when={"target": "v1.*"}, narrow=True)
    here = policies(store, text)
    assert await here.standing_approval(call(arguments={"target": "v1.4"})) == grant
    for other in ("v2.0", "V1.4", "main", None):
        assert await here.standing_approval(call(arguments={"target": other})) is None


ANY_TARGET = TEAM + POLICY.replace('when.target = "prod"\n', "")
ONE, TWO = "1" * 40, "2" * 40


def meant(name: str, thing: str, where: str = "shop", **more: Any) -> CallToApprove:
    """A call whose facts say what its target stands for."""
    return call(**{"arguments": {"target": "v1.4"}, "meanings": {"target": Meaning(name, where, thing)}} | more)


async def test_a_pattern_matches_the_name_that_the_facts_found_and_not_what_was_written(store: Store) -> None:
    grant = await granted(store, text=ANY_TARGET, when={"target": "v1.*"}, narrow=True)
    here = policies(store, ANY_TARGET)
    assert await here.standing_approval(meant("v1.4", ONE)) == grant
    assert await here.standing_approval(meant("v1.4", TWO, step="s2")) == grant
    assert await here.standing_approval(meant("", ONE)) is None, "a branch, or a bare commit"
    assert await here.standing_approval(meant("v2.0", ONE)) is None


async def test_no_pattern_matches_a_commit_and_its_full_name_does(store: Store) -> None:
    await granted(store, text=ANY_TARGET, when={"target": "1*"}, narrow=True)
    here = policies(store, ANY_TARGET)
    assert await here.standing_approval(meant("", ONE)) is None
    grant = await granted(store, text=ANY_TARGET, when={"target": ONE}, narrow=True)
    assert await here.standing_approval(meant("", ONE)) == grant
    assert await here.standing_approval(meant("v1.4", ONE)) == grant
    assert await here.standing_approval(meant("v1.4", TWO)) is None


async def test_a_name_covers_what_it_stood_for_when_it_was_granted(store: Store) -> None:
    grant = await granted(store, text=ANY_TARGET, when={"target": "v1.4"}, pins={"v1.4 of shop": ONE})
    here = policies(store, ANY_TARGET)
    assert await here.standing_approval(meant("v1.4", TWO)) is None
    assert await here.standing_approval(meant("v1.4", ONE)) == grant


@pytest.mark.parametrize("uses", [0, 5])
async def test_a_name_that_was_unknown_then_covers_what_it_stood_for_first(uses: int, store: Store) -> None:
    grant = await granted(store, text=ANY_TARGET, when={"target": "v1.4"}, uses=uses)
    here = policies(store, ANY_TARGET)
    assert await here.standing_approval(meant("v1.4", ONE)) == grant
    assert await here.standing_approval(meant("v1.4", TWO)) is None
    assert await here.standing_approval(meant("v1.4", TWO, step="s2")) is None
    assert await here.standing_approval(meant("v1.4", ONE)) == grant, "the same call, before it begins"
    assert await here.standing_approval(meant("v1.4", ONE, step="s2")) == grant
    assert await here.standing_approval(meant("v1.4", TWO, where="docs", step="s3")) == grant, "it is another one there"
    (found,) = await standing.active(store, START)
    assert dict(found.pins) == {"v1.4 of shop": ONE, "v1.4 of docs": TWO}


async def test_of_two_first_uses_at_the_same_moment_one_says_what_the_name_stands_for(store: Store) -> None:
    await granted(store, text=ANY_TARGET, when={"target": "v1.4"})
    here = policies(store, ANY_TARGET)
    calls = [meant("v1.4", thing, step=f"s{number}") for number, thing in enumerate((ONE, TWO, ONE, TWO))]
    found = await asyncio.gather(*map(here.standing_approval, calls))
    assert [one is not None for one in found] in ([True, False, True, False], [False, True, False, True])


async def test_it_covers_as_many_calls_as_it_says_each_once(store: Store) -> None:
    grant = await granted(store, uses=2)
    here = policies(store)
    assert await here.standing_approval(call(step="s1")) == grant
    assert await here.standing_approval(call(step="s1")) == grant, "the same call, looked at again before it begins"
    assert await here.standing_approval(call(step="s1", thread="t2")) == grant
    assert await here.standing_approval(call(step="s2")) is None
    assert await here.standing_approval(call(step="s1")) == grant
    (found,) = await standing.active(store, START)
    assert (found.uses_left, len(found.used)) == (0, 2)


async def test_of_calls_at_the_same_moment_only_as_many_as_are_left_are_covered(store: Store) -> None:
    await granted(store, uses=2)
    here = policies(store)
    found = await asyncio.gather(*(here.standing_approval(call(step=f"s{n}")) for n in range(8)))
    assert sum(one is not None for one in found) == 2


async def test_where_one_grant_is_used_up_the_next_covers(store: Store) -> None:
    first, second = await granted(store, uses=1), await granted(store, DEX)
    here = policies(store)
    assert await here.standing_approval(call(step="s1")) == first
    assert await here.standing_approval(call(step="s2")) == second
    assert await here.standing_approval(call(step="s1")) == first


async def test_nobody_who_does_not_exist_is_named_and_nothing_is_granted_to_no_one(store: Store) -> None:
    with pytest.raises(Refused, match="'laeds' is no person, group or address; did you mean leads"):
        await granted(store, askers=("laeds",))
    nobody = POLICY.replace('"leads"', '"anyone"').replace('"release"', '"anyone"')
    with pytest.raises(Refused, match=r"Nobody is in \[people\], so bind it"):
        await granted(store, text=nobody)
    assert await granted(store, text=nobody, uses=1)


def test_a_grant_of_an_older_version_covers_nothing() -> None:
    """Its bounds were those of a policy, of which nobody can say what it meant."""
    older = StandingGranted(
        id="g1", at=START, agent="ops", intent="push", scope="prod", policy={"group": "release"}, by=EVE, until=START
    )
    assert not policies(None).still_valid(older, START)


# With an agent at work


def world_with(text: str = TEAM + POLICY, **more: Any) -> tuple[World, Store]:
    store = MemoryStore()
    people = People(Team.model_validate(tomllib.loads(text)).people)
    return World(store=store, people=people, authority=policies(store, text), **more), store


async def test_a_call_that_it_covers_is_carried_out_and_no_other() -> None:
    world, store = world_with()
    await granted(store)
    await world.say("push it", by=ANA)
    world.model.answers(Push(target="prod"), done())
    assert await world.run() == [
        "settled: push approved by eve: a migration",
        "ran: push(target: prod)",
        "said: Done.",
    ]
    await world.say("and there", by=ANA)
    world.model.answers(Push(target="elsewhere"), done("Nobody may approve that."))
    assert await world.run() == ["said: Nobody may approve that."]


async def test_each_use_is_told_where_the_grant_was_made() -> None:
    world, store = world_with(rooms=["room"])
    await granted(store, tell=Place(channel="room", address="/eve/"))
    await world.say("push it", by=ANA)
    world.model.answers(Push(target="prod"), done())
    assert await world.run() == [
        "settled: push approved by eve: a migration",
        "ran: push(target: prod)",
        "said: Done.",
        "room: settled: push approved by eve: a migration",
    ]


async def test_where_it_is_revoked_a_person_is_asked_again() -> None:
    world, store = world_with()
    await revoked(store, (await granted(store)).id)
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=ANA)
    assert await world.run() == ["requested: push(target: prod)"]


async def test_its_log_is_nobodys_to_work_on() -> None:
    world, store = world_with()
    await granted(store)
    world.thread = await store.load("standing")
    assert await world.run() == []
    assert await store.due_in_seconds() is None


# At the command line


@pytest.mark.slow
async def test_it_is_granted_listed_and_revoked(tmp_path: Path, template: Path, server: Server) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template)
    file = tmp_path / "bot.toml"
    site = file.read_text().partition("[[rule]]")[0].partition("[people")[0]
    team = (TEAM + POLICY).replace('"push"', '"deploy"').replace('target = "prod"', 'environment = "production"')
    both = team + '[[rule]]\ntool = "rollback"\nwhen.environment = "staging"\ngroup = "release"\n'
    file.write_text(site + both)
    arguments = ("deploy", "environment=production", "--for", "4h")
    done = await bot.run("standing", "grant", *arguments, "--reason", "a migration", "--json", login="eve")
    grant = done.succeeded().document
    assert {name: grant[name] for name in ("agent", "tool", "when", "reason", "holds")} == {
        "agent": "deploy",
        "tool": "deploy",
        "when": {"environment": "production"},
        "reason": "a migration",
        "holds": True,
    }
    assert grant["by"]["member"] == "eve"
    plain, listed = await bot.all(("standing",), ("standing", "--json"))
    assert listed.succeeded().document == [grant]
    (row,) = plain.succeeded().out.splitlines()
    until = datetime.fromisoformat(grant["until"])
    for words in (grant["id"], "by eve", f"until {until:%Y-%m-%d %H:%M} UTC", "  valid  ", "a migration"):
        assert words in row
    # Its log is nobody's thread.
    assert (await bot.run("threads", "--json")).succeeded().document == []
    wrong = {
        ("grant", *arguments, "--as", "ana"): ["ana may not grant this", "leads"],
        ("grant", *arguments[:3], "9h"): ["at most 8h"],
        ("grant", "rollback", "environment=staging", "--for", "1h"): ["in advance", "no `standing`"],
        ("grant", "rollback", "environment=production", "--for", "1h"): ["bot.toml has no rule for it"],
        ("grant", "deploy", "environment=staging", "--for", "1h"): ["Nobody may approve deploy environment=staging"],
        ("grant", "deploy", "--for", "1h"): ["depends on the call", "no rule", "rule 1", "say more"],
        ("grant", "deploy", "environment=prodution", "--for", "1h"): ["did you mean production?"],
        ("grant", "deploy", "enviroment=production", "--for", "1h"): ["did you mean environment?"],
        ("grant", "list_git_tags", "--for", "1h"): ["only looks"],
        ("grant", "deploy_all", "--for", "1h"): ["'deploy_all' is no tool here"],
        ("grant", *arguments, "--agent", "rollback"): ["'rollback' has no tool 'deploy'"],
        ("revoke", "g0"): ["no standing approval 'g0'"],
    }
    results = await bot.all(*(("standing", *one) for one in wrong), login="eve")
    for result, words in zip(results, wrong.values(), strict=True):
        result.failed(*words)
    (await bot.run("standing", "grant", *arguments, login="ana")).failed("ana may not grant this", "leads")
    soon = await bot.run("standing", "grant", *arguments[:3], "soon")
    soon.failed("--for must be a number and s, m, h or d", code=2)
    stranger = await bot.run("standing", "revoke", grant["id"], "--as", "zoe", login="eve")
    stranger.failed(
        f"zoe may not revoke {grant['id']}: I cannot verify who that is.", "You are eve here: leave out --as."
    )
    # What only reads asks nothing of channels.
    file.write_text(site + both.replace("standing =", 'ask = ["slack:C0123"]\nstanding ='))
    changed, threads, run = await bot.all(("standing",), ("threads",), ("run", "clock"))
    assert "no longer valid" in changed.succeeded().out
    threads.succeeded()
    run.failed("slack is not set up")
    file.write_text(site + both)
    ended = (await bot.run("standing", "revoke", grant["id"], login="ana")).succeeded()
    assert "deploy environment=production" in ended.out
    none, listed = await bot.all(("standing",), ("standing", "--json"))
    assert (none.code, none.out, none.err) == (0, "", "There are none.\n")
    assert listed.succeeded().document == []


@pytest.mark.slow
async def test_a_tag_is_looked_up_when_it_is_granted(tmp_path: Path, template: Path, server: Server) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template)
    file = tmp_path / "bot.toml"
    site = file.read_text().partition("[[rule]]")[0].partition("[people")[0]
    team = (TEAM + POLICY).replace('"push"', '"deploy"').replace('target = "prod"', 'environment = "production"')
    file.write_text(site + team)
    given = ("standing", "grant", "deploy", "environment=production", "--for", "4h", "--json")
    pins = {}
    for revision in ("v1.1.0", "v1.*", "v9.9.9", "main"):
        found = await bot.run(*given, f"revision={revision}", login="eve")
        pins[revision] = found.succeeded().document["pins"]
    assert pins["v1.1.0"] == {f"v1.1.0 of {one}": bot.site.sha("v1.1.0") for one in ("backend", "frontend")}
    assert pins["v1.*"] == pins["v9.9.9"] == pins["main"] == {}
