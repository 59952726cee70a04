"""An approval holds twice: by what was shown, and by who and what is there when the call begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from pydantic import JsonValue

from agent.perform.unserved import UNSERVED_SECONDS_MAX
from agent.steps import Call, OutcomeUnknown, ToolError
from bot.team.people import Member, People
from channels.messages import Approval, Ended, Under, Waiting
from store.authority.binding import digest, hashed
from store.events import ApprovalRequested, StepChosen, StepRefused, ToolStarted
from store.values import Person
from tests.store.authority.pushing import Rules
from tests.stories.anybody_governed import CAT, DAN, FAY, PEOPLE
from tests.telling.playbook import Desk, Push, World, done, killed, ops
from tests.telling.story import ANN, BOB, approved, requested, started, waits

ASK_ANEW = "It can be asked for anew."
PROD = Push(target="prod")


class Team:
    """A push that Dan asked for and Ann has approved, while no worker was there; and what the team changes then."""

    def __init__(self, *, tools: tuple[type[Push], ...] = (Push,), people: People = PEOPLE, **terms: Any) -> None:
        self.rules = Rules(**{"group": "release", "asks": True, **terms})
        self.rules.rules, self.rules.people = "the rules as they were", people
        self.world = World(people=people, authority=self.rules, rooms=["room"], tools=tools)

    async def approves(self, *others: Person, step: Push = PROD, asker: Person = DAN) -> None:
        self.world.model.answers(step)
        await self.world.say("push it", by=asker)
        await self.world.run()
        for by in (ANN, *others):
            await self.world.approve(by)

    async def refuses(self, *then: Any) -> str:
        """Nothing runs; why, as the model reads it and as people do wherever they saw the card."""
        self.world.model.answers(*(then or (done("I see."),)))
        await self.world.run()
        assert self.world.desk.ran == []
        [event] = [event for event in self.world.thread.events if isinstance(event, StepRefused)]
        assert event.error in self.world.model.prompts[-1]
        for channel in (self.world.channel, self.world.rooms["room"]):
            ends = [m.state for m in channel.sent.values() if isinstance(m, Approval) and isinstance(m.state, Ended)]
            assert [end.lapsed for end in ends if end.outcome == "refused"] == [event.error]
        return event.error

    def now_has(self, **groups: tuple[str, ...] | None) -> None:
        """The team file changes: these members are in other groups, or gone."""
        members = dict(PEOPLE.members)
        for key, those in groups.items():
            member = members.pop(key)
            if those is not None:
                members[key] = replace(member, groups=those)
        self.rules.people = People(members)


async def test_who_has_left_the_group_has_approved_nothing() -> None:
    team = Team()
    await team.approves()
    team.now_has(ann=("leads",))
    assert await team.refuses() == (
        "It was approved by Ann, and not run: the approval by Ann does not count any more; "
        f"it takes 1 approval, and 0 of them are left. {ASK_ANEW}"
    )


async def test_who_is_not_in_the_team_file_any_more_has_approved_nothing() -> None:
    team = Team(quorum=2)
    await team.approves(BOB)
    team.now_has(bob=None)
    assert await team.refuses() == (
        "It was approved by Ann, Bob, and not run: the approval by Bob does not count any more; "
        f"it takes 2 approvals, and 1 of them is left. {ASK_ANEW}"
    )


async def test_who_is_not_of_the_team_any_more_is_not_by_what_the_log_says() -> None:
    team = Team(group="team")
    await team.approves()
    team.now_has(ann=None)
    assert "the approval by Ann does not count any more" in await team.refuses()


class PushAgain(Push):
    """The push, under a key: it may be repeated after its worker has died."""

    repeatable: ClassVar[bool] = True


async def test_of_a_repeat_that_may_not_begin_people_are_asked_how_its_first_try_ended() -> None:
    team = Team(tools=(PushAgain,))
    await team.approves(step=PushAgain(target="prod"))
    team.world.desk.during("push_again", killed)
    assert (await team.world.run())[-1] == "killed"
    team.now_has(ann=("leads",))
    assert (await team.world.run())[0] == "asked: I do not know how push_again target=prod ended. Did it happen?"
    assert [state.status for state in team.world.thread.state.steps.values()][:1] == ["interrupted"]
    asked = team.world.thread.state.steps[team.world.thread.state.question].chosen.arguments["context"]
    assert "the approval by Ann does not count any more" in str(asked)
    assert "not run" not in str(asked)
    assert team.world.desk.ran == ["push_again(target: prod)"]


class Doubtful(PushAgain):
    """It may be repeated under its key, and then does not know either, or is turned away."""

    error: ClassVar[Exception] = OutcomeUnknown("The service does not answer.")

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        raise self.error


class TurnedAway(Doubtful):
    error: ClassVar[Exception] = ToolError("The key was used already.")


@pytest.mark.parametrize(("tool", "is_killed"), [(Doubtful, False), (Doubtful, True), (TurnedAway, True)])
async def test_what_may_have_happened_is_asked_about_and_is_no_failure_also_where_it_could_be_repeated(
    tool: type[Doubtful], is_killed: bool
) -> None:
    team = Team(tools=(tool,))
    await team.approves(step=tool(target="prod"))
    if is_killed:
        team.world.desk.during(tool.intent_name(), killed)
        await team.world.run()
    lines = await team.world.run()
    assert f"asked: I do not know how {tool.intent_name()} target=prod ended. Did it happen?" in lines
    assert [state.status for state in team.world.thread.state.steps.values()][:1] == ["interrupted"]


ANN_ALONE = Member(name="Ann", slack="U1", groups=("release",))
DEL = Person(name="Del", address="del@example.com", trust="verified")
TWO = People({"ann": ANN_ALONE, "del": Member(name="Del", emails=(DEL.address,), groups=("release",))})
ONE = People({"ann": replace(ANN_ALONE, emails=(DEL.address,))})
"""Del was Ann all along."""


async def test_two_who_turn_out_to_be_one_are_one() -> None:
    team = Team(people=TWO, quorum=2)
    await team.approves(DEL)
    team.rules.people = ONE
    assert "it takes 2 approvals, and 1 of them is left" in await team.refuses()


async def test_who_turns_out_to_have_asked_for_it_has_not_approved_it() -> None:
    team = Team(people=TWO, requester_may=False)
    await team.approves(asker=DEL)
    team.rules.people = ONE
    assert "the approval by Ann does not count any more" in await team.refuses()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"quorum": 2}, "it takes 2 approvals, and 1 of them is left"),
        ({"decide_by": ("slack",)}, "the approval by Ann does not count any more"),
        ({"group": "leads"}, "the approval by Ann does not count any more"),
        ({"expires_at": timedelta(seconds=-1)}, "by the rules of today, its approval has expired"),
        (None, "nobody may approve it any more"),
    ],
)
async def test_a_stricter_rule_reaches_what_was_approved_before(change: dict[str, Any] | None, why: str) -> None:
    team = Team()
    await team.approves()
    team.rules.terms = {**(team.rules.terms or {}), **change} if change is not None else None
    assert why in await team.refuses()


async def test_a_laxer_rule_changes_nothing_of_what_was_shown() -> None:
    team = Team(quorum=2)
    await team.approves()
    team.rules.terms = {"group": "anyone", "quorum": 1}
    await team.world.run()
    assert team.world.desk.ran == []
    assert team.world.thread.status == "waiting_for_approval"
    await team.world.approve(BOB)
    team.now_has(bob=())
    team.rules.terms = {"group": "release", "quorum": 1}
    assert "it takes 2 approvals, and 1 of them is left" in await team.refuses()


async def test_who_may_decide_since_it_was_widened_still_may_by_the_rules_of_today() -> None:
    team = Team(then="leads", widen_at=timedelta(minutes=1))
    team.world.model.answers(PROD)
    await team.world.say("push it", by=DAN)
    await team.world.run()
    await team.world.advance(60)
    await team.world.approve(CAT)
    team.world.model.answers(done())
    await team.world.run()
    assert team.world.desk.ran == ["push(target: prod)"]


async def test_what_nothing_has_changed_about_runs_and_says_by_which_rules() -> None:
    team = Team()
    await team.approves()
    team.rules.rules = "the rules of today"
    team.world.model.answers(done())
    await team.world.run()
    assert team.world.desk.ran == ["push(target: prod)"]
    events = team.world.thread.events
    assert [e.rules for e in events if isinstance(e, ApprovalRequested)] == ["the rules as they were"]
    assert [e.rules for e in events if isinstance(e, ToolStarted)] == ["the rules of today"]


async def test_it_is_asked_anew_with_the_reason_and_the_new_approval_counts() -> None:
    team = Team()
    await team.approves()
    team.now_has(ann=())
    why = await team.refuses(PROD)
    cards = [m for m in team.world.channel.sent.values() if isinstance(m, Approval) and isinstance(m.state, Waiting)]
    assert [card.asked_again for card in cards] == ["", why]
    shown = team.world.thread.pending
    assert shown is not None
    await team.world.approve(FAY)
    team.world.model.answers(done())
    await team.world.run()
    assert team.world.desk.ran == ["push(target: prod)"]


async def test_those_who_approved_are_told_in_reply_to_the_card_that_they_saw() -> None:
    team = Team()
    ways: list[Any] = []
    send = team.world.rooms["room"].send

    async def heard(place: Any, message: Any, way: Any, **more: Any) -> str:
        ways.append(way)
        return await send(place, message, way, **more)

    team.world.rooms["room"].send = heard  # type: ignore[method-assign, assignment]
    await team.approves()
    team.now_has(ann=())
    await team.refuses()
    assert ways[-1] == Under("receipt 1")


async def test_an_approval_ends_when_the_card_said_so_whatever_the_rules_of_today_allow() -> None:
    team = Team(expires_at=timedelta(minutes=5))
    await team.approves()
    team.rules.terms = {"group": "release", "expires_at": timedelta(hours=1)}
    team.world.clock.advance(300)
    assert await team.refuses() == f"Its approval expired before it began. {ASK_ANEW}"


@pytest.mark.parametrize("under_way", [False, True])
@pytest.mark.parametrize("changed", [{"target": "other"}, {"target": "prod", "facts": {"revision": "other"}}])
async def test_a_log_whose_call_is_not_the_one_that_was_approved_runs_nothing(
    changed: dict[str, Any], under_way: bool
) -> None:
    """Somebody can write to the store: the vote is for another call, under the id of this one."""
    team = Team(asks=False)
    world = team.world
    await world.say("push it", by=DAN)
    chosen = StepChosen(id="s2/chosen", at=world.clock(), step="s2", intent="push", arguments={"target": "prod"})
    drafted = requested("s2", group="release")
    voted_on = chosen.model_copy(update={"arguments": {"target": changed["target"]}})
    seen = digest(world.thread.id, voted_on, changed.get("facts", {}), drafted.policy, None)
    asked = drafted.model_copy(update={"digest": seen})
    await world.log(chosen, asked, approved("s2", PEOPLE.identified(ANN), seen, groups=("release",)))
    if under_way:
        await world.log(started("s2"), waits("s2", until=world.clock() + timedelta(seconds=10)))
        world.clock.advance(10)
    world.model.answers(done())
    await world.run()
    assert world.desk.ran == []
    assert [e.error for e in world.thread.events if isinstance(e, StepRefused)] == [
        "It differs from what was approved."
    ]


# What it would run with


class Configured(Push):
    """Push, by a command that the team may change."""

    command: ClassVar[dict[str, JsonValue]] = {}

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        if "gone" in self.command:
            raise ToolError("There is no such target.")
        return self.command


@pytest.fixture
def command() -> dict[str, JsonValue]:
    Configured.command.clear()
    Configured.command.update({"deploy": ["/bin/deploy"], "timeout_seconds": 60})
    return Configured.command


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda command: command.update(deploy=["/bin/evil"]), "has changed since it was approved: deploy"),
        (lambda command: command.update(url="x", timeout_seconds=1), "approved: timeout_seconds, url"),
        (lambda command: command.pop("timeout_seconds"), "has changed since it was approved: timeout_seconds"),
        (lambda command: command.update(gone=True), "cannot be told any more (There is no such target)"),
    ],
)
async def test_a_changed_configuration_is_another_call(
    command: dict[str, JsonValue], change: Callable[[dict[str, JsonValue]], object], why: str
) -> None:
    team = Team(tools=(Configured,))
    await team.approves(step=Configured(target="prod"))
    change(command)
    assert why in await team.refuses()


async def test_the_log_holds_no_configuration_in_clear(command: dict[str, JsonValue]) -> None:
    team = Team(tools=(Configured,))
    await team.approves(step=Configured(target="prod"))
    [asked] = [e for e in team.world.thread.events if isinstance(e, ApprovalRequested)]
    assert asked.configuration == hashed({**command, "the call itself": {"target": "prod"}})
    assert "/bin/deploy" not in asked.model_dump_json()
    other = digest(team.world.thread.id, chosen_of(team), asked.facts, asked.policy, hashed({"deploy": "evil"}))
    assert asked.digest != other


def chosen_of(team: Team) -> StepChosen:
    return next(e for e in team.world.thread.events if isinstance(e, StepChosen) and e.acts)


async def test_a_request_of_an_older_version_binds_as_it_did(command: dict[str, JsonValue]) -> None:
    team = Team(tools=(Configured,), asks=False)
    world = team.world
    await world.say("push it", by=DAN)
    chosen = StepChosen(id="s2/chosen", at=world.clock(), step="s2", intent="configured", arguments={"target": "prod"})
    drafted = requested("s2", group="release")
    asked = drafted.model_copy(update={"digest": digest(world.thread.id, chosen, {}, drafted.policy, None)})
    await world.log(chosen, asked, approved("s2", PEOPLE.identified(ANN), asked.digest, groups=("release",)))
    command.update(deploy=["/bin/other"])
    world.model.answers(done())
    await world.run()
    started = [e for e in world.thread.events if isinstance(e, ToolStarted)]
    assert [e.step for e in started] == ["s2"]


# The tool itself


class Forced(Push):
    """Push, as it is after an upgrade: it takes one argument more."""

    force: bool


class MayBeForced(Push):
    """Push, as it is after an upgrade: it may take one argument more."""

    force: bool = False


def upgraded(cls: type[Push]) -> type[Push]:
    """The class under the name of the old one, as after an upgrade."""
    return type("Push", (cls,), {"__doc__": cls.__doc__, "__module__": cls.__module__})


async def test_a_tool_that_does_not_take_the_call_any_more_has_changed_and_nobody_reads_why_it_does_not_parse() -> None:
    team = Team()
    await team.approves()
    world = team.world
    world.roster["ops"] = ops(world.desk, tools=(upgraded(Forced),))
    assert await world.run_unserved() == ["settled: push approved by Ann"]
    assert world.desk.ran == []
    world.model.answers(done("It has to be asked for anew."))
    await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX)
    [event] = [event for event in world.thread.events if isinstance(event, StepRefused)]
    assert event.error == f"It was approved, and not run: push has changed since. {ASK_ANEW}"
    assert world.desk.ran == []
    assert "Field required" not in str(world.channel.sent)


async def test_a_tool_that_would_do_more_than_was_approved_has_changed() -> None:
    team = Team()
    await team.approves()
    team.world.roster["ops"] = ops(team.world.desk, tools=(upgraded(MayBeForced),))
    assert "push has changed since it was approved" in await team.refuses()


async def test_an_approved_call_of_an_unknown_tool_waits_for_a_worker_that_knows_it() -> None:
    team = Team()
    await team.approves()
    world = team.world
    world.roster["ops"] = ops(world.desk, tools=())
    await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX)
    assert world.thread.status == "working"
    assert world.kinds[-1] == "message_sent"
    assert "thread_unserved" in world.kinds
