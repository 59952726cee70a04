"""Asking for an approval: who decides, on what, and how often."""

from __future__ import annotations

import tomllib
from typing import ClassVar

import pytest

from agent.calls import calls
from agent.speech.requests import approval
from agent.steps import Call, Facts, Step
from bot.team.file import Team
from bot.team.people import People, github_address
from bot.team.policies import Policies
from channels.inbound import Refused
from store.events import StepChosen
from store.thread import Thread
from store.values import Person
from tests.agent.pushing import PROD, STAGING, asked_to_push
from tests.telling.playbook import NOTHING, Push, Touch, World, done
from tests.telling.story import ANN, BOB, EVE, approved, chosen, message, requested, thread


class Counted(Push):
    """Push, and say which run it is for."""

    async def prepare(self, call: Call) -> Facts:
        return {"attempt": call.attempt}


class Titled(Push):
    """Push, with words of its own."""

    dangers: ClassVar[tuple[str, ...]] = ("note", "other")

    async def prepare(self, call: Call) -> Facts:
        return {"note": "it is OLDER", "revision": "4af9ec0"}

    def title(self, facts: Facts) -> str:
        if self.target == "unsayable":
            raise KeyError("name")
        return f"Push {facts['revision']} to {self.target}\n" + "!" * 200


async def test_what_is_shown_is_looked_up_for_the_first_run() -> None:
    world = World(tools=(Counted,))
    world.model.answers(Counted(target="prod"))
    await world.say("push to prod, please")
    await world.run()
    assert world.thread.pending
    assert world.thread.pending.asked.facts == {"attempt": 1}


async def test_a_second_approval_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, done())
    assert (await world.approve()).outcome == "settled"
    world.clock.advance(1)
    again = await world.approve()
    other = await world.approve(by=BOB)
    assert {again.outcome, other.outcome} == {"too_late"}
    assert other.text == "Already approved by U1 at 2026-11-20 09:00 UTC. Nothing was changed."
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: Done."]
    assert max(world.desk.keys.values()) == 1


async def test_a_rejection_after_the_approval_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, done())
    await world.approve()
    assert (await world.reject("no!", by=BOB)).outcome == "too_late"
    assert "ran: push(target: prod)" in await world.run()


async def test_an_approval_of_another_request_changes_nothing() -> None:
    world = World()
    await asked_to_push(world)
    assert (await world.approve(digest="0123456789abcdef")).outcome == "other_request"
    assert await world.run() == []
    assert world.thread.status == "waiting_for_approval"


async def test_an_approval_of_a_request_that_was_replaced_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, STAGING)
    await world.say("staging instead")
    assert await world.run() == ["settled: push superseded", "requested: push(target: staging)"]
    late = await world.approve(step_id="s2")
    assert (late.outcome, late.text) == (
        "too_late",
        "This request is superseded, so there is nothing left to decide. Nothing was changed.",
    )
    assert await world.run() == []


@pytest.mark.parametrize("trust", ["unverified", "third_party", "forwarded"])
async def test_the_approval_of_a_stranger_changes_nothing_and_is_on_record(trust: str) -> None:
    world = World()
    await asked_to_push(world)
    stranger = Person.model_validate({"name": "Ann", "address": "U1", "trust": trust})
    assert (await world.approve(by=stranger)).outcome == "not_entitled"
    assert await world.run() == []
    assert (world.thread.status, world.kinds[-1]) == ("waiting_for_approval", "approval_decided")
    assert (await world.approve(by=ANN)).outcome == "settled"


async def test_the_approval_of_a_stranger_is_not_shown_to_the_model_as_a_decision() -> None:
    world = World()
    await asked_to_push(world, NOTHING)
    await world.approve(by=EVE)
    await world.say("go!", by=EVE)
    await world.run()
    assert "<human_response>" not in world.model.prompts[-1]


async def test_nobody_can_decide_where_nothing_was_asked() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    with pytest.raises(Refused, match="nothing to approve or reject"):
        await world.approve()


async def test_a_call_that_is_not_the_one_that_was_approved_does_not_run() -> None:
    world = World()
    await world.say("push to prod")
    # Somebody with access to the log wrote a request whose facts are not what its digest was taken of.
    chosen = StepChosen(id="s2/chosen", at=world.clock(), step="s2", intent="push", arguments={"target": "prod"})
    forged = requested("s2").model_copy(update={"facts": {"revision": "evil"}})
    await world.log(chosen, forged, approved("s2"))
    world.model.answers(done("It was refused."))
    assert await world.run() == [
        "requested: push(target: prod)",
        "settled: push approved by Ann",
        "settled: push refused by Ann",
        "said: It was refused.",
    ]
    assert "It differs from what was approved." in world.model.prompts[-1]


async def test_a_call_that_cannot_be_prepared_is_refused_before_anybody_is_asked() -> None:
    world = World()
    world.model.answers(Push(target="nowhere"), done("No such target."))
    await world.say("push to nowhere")
    assert await world.run() == ["said: No such target."]
    assert "There is no target 'nowhere'. Try 'prod'." in world.model.prompts[-1]


async def test_facts_with_characters_that_cannot_be_stored_can_be_approved() -> None:
    world = World()
    world.desk.facts = {"subject": "half a pair: \ud83d", "size": float("inf")}
    await asked_to_push(world, done("It is out."))
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_a_request_that_is_too_large_to_be_shown_is_refused() -> None:
    world = World()
    world.desk.facts = {"diff": "x" * 300_000}
    world.model.answers(PROD, done("Too large."))
    await world.say("push")
    assert await world.run() == ["said: Too large."]
    assert "too large to be shown completely" in world.model.prompts[-1]


async def test_a_request_says_in_the_words_of_its_tool_what_it_asks_for_and_what_is_dangerous() -> None:
    world = World(tools=(Titled,))
    world.model.answers(Titled(target="prod\u202e"), done("It is out."))
    await world.say("push to prod, please")
    await world.run()
    assert world.thread.pending
    asked = world.thread.pending.asked
    assert asked.title.startswith("Push 4af9ec0 to prod\\u{202e} !!!")
    assert (len(asked.title), asked.dangers) == (130, ("note",)), "clipped, and only what there is"
    card = approval(world.thread, world.thread.pending)
    assert (card.headline, card.danger_rows) == (asked.title, {"note": "it is OLDER"})
    assert (await world.approve()).text == f"Approved: {asked.title}"
    await world.run()
    assert len(world.model.prompts) == 2
    assert "!!!" not in world.model.prompts[-1], "the model reads the call and the facts"


async def test_a_tool_without_words_of_its_own_asks_by_its_call() -> None:
    world = World()
    await asked_to_push(world)
    assert world.thread.pending
    assert world.thread.pending.asked.title == "push target=prod"


async def test_a_call_that_cannot_be_said_is_refused_before_anybody_is_asked() -> None:
    world = World(tools=(Titled,))
    world.model.answers(Titled(target="unsayable"), done("It cannot be said."))
    await world.say("push")
    assert await world.run() == ["said: It cannot be said."]
    assert "What it does cannot be said: KeyError" in world.model.prompts[-1]


def test_a_request_of_an_old_log_is_shown_by_its_intent_and_listed_by_its_call() -> None:
    waiting = thread(message(), chosen("s1", acts=True, tag="v3"), requested("s1"))
    assert waiting.pending
    assert waiting.pending.title == "push tag=v3"
    assert approval(waiting, waiting.pending).headline == "push"


async def test_what_has_begun_once_since_somebody_wrote_is_asked_of_a_person_the_second_time() -> None:
    world = World()
    world.model.answers(Touch(), Touch(), done("Touched twice."))
    await world.say("touch it")
    await world.run()
    assert world.desk.ran == ["touch"]
    pending = world.thread.pending
    assert pending
    assert approval(world.thread, pending).cautions == ("The same call has begun already since somebody wrote last.",)
    await world.approve()
    await world.run()
    assert world.desk.ran == ["touch", "touch"]

    world.model.answers(Touch(), done("Once more."))
    await world.say("and touch it once more")
    await world.run()
    assert world.desk.ran == ["touch"] * 3, "they asked for it themselves"


class PushFor(Push):
    """Push, because somebody outside wants it."""

    wanted_by: str = "kim"
    by_code: ClassVar[bool] = True

    def on_behalf_of(self) -> tuple[Person, ...]:
        return (Person(name=self.wanted_by, address=github_address(self.wanted_by), trust="verified"),)


async def _asked_for_kim(text: str) -> World:
    """Code pushes for Kim at GitHub, once."""
    team = Team.model_validate(tomllib.loads(text))
    people = People(team.people)

    def plan(thread: Thread) -> Step:
        return NOTHING if calls(thread, PushFor) else PushFor(target="prod")

    world = World(tools=(PushFor,), plan=plan, people=people, authority=Policies(people, team.rules))
    await world.trigger("asked")
    await world.run()
    return world


RULE = """
[[rule]]
tool = "push_for"
group = "team"
requester_may = false
[people.kim]
slack = "U0KIM"
{kim}
[people.bob]
slack = "U0BOB"
[people.cat]
slack = "U0CAT"
"""
KIM, BOB_, CAT = (Person(name=name, address=f"U0{name}", trust="verified") for name in ("KIM", "BOB", "CAT"))


async def test_whoever_wants_a_call_that_code_makes_asks_for_it_and_may_not_approve_it_alone() -> None:
    world = await _asked_for_kim(RULE.format(kim='github = "Kim"'))
    pending = world.thread.pending
    assert pending
    assert pending.terms.quorum == 1
    assert approval(world.thread, pending).requested_by == "kim"
    assert (await world.approve(by=KIM)).outcome == "not_entitled"
    assert (await world.approve(by=BOB_)).outcome == "settled"
    assert "ran: push_for(target: prod, wanted_by: kim)" in await world.run()


async def test_if_whoever_wants_it_stands_in_no_entry_they_may_be_any_approver() -> None:
    world = await _asked_for_kim(RULE.format(kim=""))
    pending = world.thread.pending
    assert pending
    assert approval(world.thread, pending).requested_by == '"github:kim"'
    assert (await world.approve(by=KIM)).outcome == "counted"
    assert (await world.approve(by=CAT)).outcome == "settled"
