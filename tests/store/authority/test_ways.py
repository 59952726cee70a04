"""By which ways a decision counts: the rule says so, whoever decides by another way is told which, and may use it."""

from __future__ import annotations

import tomllib

import pytest

from bot.deciding import DecisionResult
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from channels.inbound import Refused
from store.authority.terms import Terms, Way, judge
from store.events import ApprovalDecided
from store.values import Person
from tests.fakes.clock import Clock
from tests.telling.playbook import Push, World, done

NOW = Clock().now
ANN = Person(name="Ann", address="U0ANN", trust="verified")
BOB = Person(name="Bob", address="U0BOB", trust="verified")
TEAM = """
[people.ann]
slack = "U0ANN"
[people.bob]
slack = "U0BOB"
[[rule]]
tool = "push"
group = "team"
decide_by = ["slack", "link"]
"""


async def waiting() -> World:
    team = Team.model_validate(tomllib.loads(TEAM))
    people = People(team.people)
    world = World(people=people, authority=Policies(people, team.rules))
    world.model.answers(Push(target="prod"), done())
    await world.say("push it", by=ANN)
    assert await world.run() == ["requested: push(target: prod)"]
    return world


async def decides(world: World, way: Way | str, *, approved: bool = True) -> DecisionResult:
    pending = world.thread.pending
    assert pending is not None
    result = await world.inbox.decide(world.thread.id, BOB, approved=approved, digest=pending.digest, way=way)  # type: ignore[arg-type]
    world.thread = result.thread
    return result


@pytest.mark.parametrize("way", ["terminal", "mail", "api", "page", ""])
@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_by_another_way_does_not_count_and_says_which_do(way: str, approved: bool) -> None:
    world = await waiting()
    told = await decides(world, way, approved=approved)
    assert (told.outcome, world.thread.status) == ("not_entitled", "waiting_for_approval")
    assert "Decisions on it count only by a click in Slack or the link in a mail, and " in told.text
    assert "Your attempt is on record." in told.text
    decision = world.thread.events[-1]
    assert isinstance(decision, ApprovalDecided)
    assert decision.way == way


async def test_who_decided_by_another_way_may_decide_again_by_one_that_counts() -> None:
    world = await waiting()
    await decides(world, "terminal")
    assert (await decides(world, "link")).outcome == "settled"
    assert await world.run() == ["settled: push approved by bob", "ran: push(target: prod)", "said: Done."]


async def test_the_card_says_which_ways_count() -> None:
    world = await waiting()
    (card,) = [message for key, message in world.channel.sent.items() if key.endswith("card")]
    assert "only by a click in Slack or the link in a mail" in str(card)


async def test_an_edit_comes_by_a_way_that_counts_too() -> None:
    world = await waiting()
    pending = world.thread.pending
    assert pending is not None
    with pytest.raises(Refused, match="only by a click in Slack or the link in a mail, and this one came by the HTTP"):
        await world.inbox.edit(
            world.thread.id,
            BOB,
            step_id=pending.step,
            digest=pending.digest,
            arguments={"target": "east"},
            proof="",
            way="api",
        )


def test_where_no_way_is_named_all_count_and_so_do_decisions_of_older_logs() -> None:
    for way in ("slack", "terminal", ""):
        assert judge(Terms(), BOB, (), NOW, approved=True, widened=False, way=way) == "valid"
    only = Terms(decide_by=("slack",))
    assert judge(only, BOB, (), NOW, approved=True, widened=False, way="slack") == "valid"
    assert judge(only, BOB, (), NOW, approved=True, widened=False, way="") == "not_entitled"


def test_a_standing_approval_was_granted_by_a_way_that_counts() -> None:
    terms = Terms(decide_by=("slack",), standing="g1")
    assert judge(terms, BOB, (), NOW, approved=True, widened=False, standing="g1", way="terminal") == "not_entitled"
    assert judge(terms, BOB, (), NOW, approved=True, widened=False, standing="g1", way="slack") == "valid"
