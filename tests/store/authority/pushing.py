"""A push that waits for its approval, under the terms that a test names."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from agent.authority import ApprovalRule, Authority, CallToApprove
from agent.steps import Step
from store.authority.terms import Terms
from store.standing import StandingGranted
from store.values import Person, Place
from tests.stories.anybody_governed import DAN, PEOPLE
from tests.telling.playbook import Push, World

ROOM = Place(channel="room", address="/C1/")
LEADS = Place(channel="room", address="/U4/")


class Rules(Authority):
    """These terms for everything; None: nobody may approve anything."""

    def __init__(self, grant: StandingGranted | None = None, **terms: Any) -> None:
        self.terms: dict[str, Any] | None = terms
        self.grant = grant
        self.call: list[CallToApprove] = []
        self.unsatisfiable = ""
        self.people = PEOPLE
        self.rules = ""

    def identified(self, person: Person) -> Person:
        return self.people.identified(person)

    def decider(self, person: Person, at: datetime) -> Person | None:
        return self.people.decider(person, at)

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return self.people.groups_of(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        self.call.append(call)
        if self.terms is None:
            return None
        instants = {
            name: call.at + value if isinstance(value, timedelta) else value for name, value in self.terms.items()
        }
        asks = (ROOM,) if "asks" in instants else ()
        instants.pop("asks", None)
        then_asks = (LEADS,) if "then" in instants else ()
        terms = Terms(requesters=call.requesters, **instants)
        return ApprovalRule(terms, asks=asks, then_asks=then_asks, unsatisfiable=self.unsatisfiable, rules=self.rules)

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        return self.grant


async def pushing(*first: Step, **terms: Any) -> World:
    """Dan has asked for a push, and it waits; before it the agent took these steps."""
    world = World(people=PEOPLE, authority=Rules(**terms), rooms=["room"])
    for step in first:
        world.model.answers(step)
        await world.say("first this", by=DAN)
        await world.run()
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=DAN)
    await world.run()
    return world
