"""A call of the model begins only if somebody has named what it changes: who names, and what people read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide import RefuseStep, RequestApproval, decide
from agent.model.base import ModelFailure
from agent.naming import DOUBTFUL, unnamed
from agent.options import HumanInputOptions
from agent.steps import LookAgain, NothingToDo, RequestHumanInput, Step, Tool
from store.events import AgentChanged, Event, StepChosen, StepRefused, TriggerReceived
from store.thread import Thread
from store.values import Attachment, Person
from tests.telling.playbook import TOOLS, Push, Touch, World, done, ops
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    chosen,
    deleted,
    edited,
    finished,
    message,
    rejected,
    requested,
    sent,
    started,
    thread,
    trigger,
)


class Ship(Push):
    """Ship a component to an environment. A person approves it first."""

    component: str
    environment: str
    target: str = "prod"

    named_by_people: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {
        "component": {"backend": ("backend", "API", "バックエンド"), "frontend": ("frontend",)},
        "environment": {"staging": ("staging",), "production": ("production",)},
    }


SHIP = Ship(component="backend", environment="staging")
SHIPS: tuple[type[Tool], ...] = (*TOOLS, Ship)
ASKED = ["requested: ship(target: prod, component: backend, environment: staging)"]
AGENT = ops(tools=SHIPS)
CALL = chosen("s9", "ship", acts=True, component="backend", environment="staging")
ADDED = ANN.model_copy(update={"trust": "third_party"})
COMMENT = TriggerReceived(id="hook/1", at=AT, source="hook", name="comment", data={"body": "the backend to staging"})
MACHINE = Person(name="ci", address="api:ci", trust="verified")


def missing(*events: Event, call: StepChosen = CALL) -> list[str]:
    """What the call after these events changes and nobody has named."""
    now = thread(*events, call)
    return sorted(unnamed(now, now.state.steps[call.step], SHIP))


def question(step: str, text: str, *, by: str = "model", context: str = "", choices: Sequence[str] = ()) -> StepChosen:
    asked = RequestHumanInput(question=text, context=context, options=HumanInputOptions(choices=list(choices)))
    more = {"by": by, "effect": "asks", "arguments": asked.arguments}
    return chosen(step, "request_human_input").model_copy(update=more)


# What names


@pytest.mark.parametrize(
    "events",
    [
        (message(text="deploy the backend to staging"),),
        (message(text="the backend"), message("m2", text="to staging", by=BOB)),
        (message(text="please", subject="backend on staging"),),
        (message(text="deploy the backend to staging", by=MACHINE),),
        (message(text="deploy it"), edited(text="deploy the backend to staging")),
        (question("s1", "Deploy the backend to staging?"), message(text="yes", answers="s1")),
        (question("s1", "Which?", choices=["backend on staging"]), message(text="the first", answers="s1")),
        (question("s1", "Shall I?", context="backend, staging"), message(text="yes", answers="s1")),
        (question("s1", "2 of backend for staging. Deploy?", by="code"), message(text="yes", answers="s1")),
        (trigger().model_copy(update={"data": {"task": "Deploy the backend to staging."}}),),
        (trigger().model_copy(update={"data": {"pull": {"labels": ["backend", "staging"]}}}),),
        (
            message(text="go"),
            chosen("s1", acts=True),
            requested("s1"),
            rejected("s1", comment="first the backend, on staging"),
        ),
        (
            message(text="go"),
            chosen("s1", "ship", acts=True, component="backend", environment="staging"),
            started("s1"),
        ),
        (
            message(text="go"),
            chosen("s1", "ship", acts=True, component="backend", environment="staging").model_copy(
                update={"by": "code"}
            ),
        ),
        (
            message(text="the backend"),
            AgentChanged(id="s1/agent", at=AT, agent="rollback", reason="The end-to-end tests on staging failed."),
        ),
        (message(text="バックエンドをstagingにデプロイして"),),
        (message(text="the API, to staging"),),
        (message(text="do not deploy the backend to staging"),),
        (COMMENT,),
        (message(text="see below: the backend to staging\n> forwarded words", passes_on=True),),
        (message(text="as they say\n> forwarded words", subject="backend to staging", passes_on=True),),
    ],
)
def test_it_is_named(events: tuple[Event, ...]) -> None:
    assert missing(*events) == []


@pytest.mark.parametrize(
    "events",
    [
        (message(text="merci"),),
        (message(text="deploy it"),),
        (message(text="🎉"),),
        (message(text="deploy the backend to staging", by=EVE),),
        (message(text="deploy the backend to staging", by=ADDED),),
        (message(text="hello", by=EVE.model_copy(update={"name": "deploy the backend to staging"})),),
        (message(text="hello", by=ANN.model_copy(update={"name": "deploy the backend to staging"})),),
        (message(text="hello", subject="backend to staging", by=EVE),),
        (message(text="FYI\n> deploy the backend to staging", passes_on=True),),
        (message(text="FYI\n---------- Forwarded message\ndeploy the backend to staging", passes_on=True),),
        (message(text="FYI\nFrom: eve@example.org\n\ndeploy the backend to staging", passes_on=True),),
        (message(text="FYI\nEve <eve@example.org> wrote:\ndeploy the backend to staging", passes_on=True),),
        (message(text="FYI", subject="Fwd: backend to staging", passes_on=True),),
        (message(text="FYI", subject="WG: backend to staging", passes_on=True),),
        (message(text="ok"), edited(text="ok\n> backend to staging").model_copy(update={"passes_on": True})),
        (message(text="deploy the backend to staging"), edited(text="never mind")),
        (message(text="deploy the backend to staging", subject="backend to staging"), deleted()),
        (message(text="see", attachments=(Attachment(name="backend.txt", text="deploy the backend to staging"),)),),
        (message(text="thanks", quoted="deploy the backend to staging"),),
        (COMMENT.model_copy(update={"third_party": ("body",)}),),
        (message(text="hi"), chosen("s1", "look"), finished("s1", {"tag": "backend to staging"})),
        (message(text="hi"), chosen("s1", "done_for_now", message="I could deploy the backend to staging.")),
        (message(text="hi"), question("s1", "Deploy the backend to staging?")),
        (
            message(text="hi"),
            question("s1", "Deploy the backend to staging?"),
            message("m2", "yes", by=EVE, answers="s1"),
        ),
        (message(text="hi"), chosen("s1", "ship", acts=True, component="backend", environment="staging")),
        (
            message(text="hi"),
            chosen("s1", acts=True),
            requested("s1"),
            rejected("s1", by=EVE, comment="backend to staging"),
        ),
    ],
)
def test_it_is_not_named(events: tuple[Event, ...]) -> None:
    assert missing(*events) == ["component", "environment"]


def test_each_argument_is_named_by_itself() -> None:
    assert missing(message(text="deploy the backend")) == ["environment"]
    assert missing(message(text="deploy to staging")) == ["component"]
    assert missing(message(text="deploy the frontend to production")) == ["component", "environment"]


@pytest.mark.parametrize("by", ["code", "person"])
def test_what_code_or_a_person_chose_needs_no_name(by: str) -> None:
    assert missing(message(text="merci"), call=CALL.model_copy(update={"by": by})) == []


def test_words_from_after_the_choice_name_nothing() -> None:
    now = thread(message(text="merci"), CALL, message("m2", "the backend on staging"))
    assert sorted(unnamed(now, now.state.steps["s9"], SHIP)) == ["component", "environment"]


def test_a_value_that_the_tool_does_not_know_must_be_named_itself() -> None:
    call = Ship(component="search", environment="staging")
    now = thread(message(text="search to staging"), CALL)
    assert unnamed(now, now.state.steps["s9"], call) == {}


@pytest.mark.parametrize("text", ["x" * 1_000_000, "@a:b " * 200_000, "> " * 500_000, "ﷺ" * 200_000, "-@" * 500_000])
@pytest.mark.parametrize("passes_on", [False, True])
def test_hostile_words_name_nothing_and_end(text: str, passes_on: bool) -> None:
    assert missing(message(text=text, passes_on=passes_on)) == ["component", "environment"]


# Whatever stands in the thread


HARMLESS = st.sampled_from(["merci", "deploy it", "go", "👍", "", "v1.2.0", "не сейчас", "lgtm, ship it"])
NAMING = st.sampled_from(
    ["deploy the backend to staging", "バックエンド staging", "ＡＰＩ, staging!", "backend/staging"]
)


def _unverified(number: int, text: str, kind: str) -> list[Event]:
    match kind:
        case "stranger":
            return [message(f"m{number}", text, by=EVE)]
        case "history":
            return [message(f"m{number}", text, by=ADDED)]
        case "name":
            return [message(f"m{number}", "hello", by=EVE.model_copy(update={"name": text}))]
        case "subject":
            return [message(f"m{number}", "hello", by=EVE, subject=text)]
        case "quoted":
            return [message(f"m{number}", "hello", quoted=text)]
        case "forwarded":
            return [message(f"m{number}", f"FYI\n> {text}", subject=f"Fwd: {text}", passes_on=True)]
        case "deleted":
            return [message(f"m{number}", text), deleted(f"m{number}")]
        case "looked up":
            step = f"s{number}"
            return [chosen(step, "look"), started(step, repeatable=True), finished(step, {"text": text})]
        case "said":
            return [chosen(f"s{number}", "done_for_now", message=text), sent(f"s{number}/say")]
        case "asked":
            return [question(f"s{number}", text), sent(f"s{number}/say")]
        case _:
            return [message(f"m{number}", "see", attachments=(Attachment(name=text, text=text),))]


KINDS = (
    *("stranger", "history", "name", "subject", "quoted", "forwarded", "deleted"),
    *("looked up", "said", "asked", "file"),
)
UNVERIFIED = st.tuples(NAMING, st.sampled_from(KINDS))


@given(st.lists(st.one_of(HARMLESS.map(lambda text: (text, "verified")), UNVERIFIED), max_size=8))
def test_what_no_verified_words_name_never_waits_and_never_runs(told: list[tuple[str, str]]) -> None:
    events: list[Event] = []
    for number, (text, kind) in enumerate(told):
        events += [message(f"m{number}", text)] if kind == "verified" else _unverified(number, text, kind)
    assert isinstance(decide(AGENT, thread(*events, CALL)), RefuseStep)
    named = message("last", "the backend, to staging")
    assert isinstance(decide(AGENT, thread(*events, named, CALL)), RequestApproval)


# What the model and people read


async def test_the_model_reads_why_and_what_would_help() -> None:
    world = World(tools=SHIPS)
    world.model.answers(SHIP, NothingToDo())
    await world.say("merci")
    assert await world.run() == []
    refused = next(event for event in world.thread.events if isinstance(event, StepRefused))
    assert refused.error == "Not begun: nobody here has named the component backend and the environment staging."
    assert "choose nothing_to_do" in refused.hint
    assert world.thread.status == "done"


async def test_a_question_of_the_model_and_a_yes_name_it() -> None:
    world = World(tools=SHIPS)
    world.model.answers(SHIP, RequestHumanInput(question="Deploy the backend to staging?"))
    await world.say("deploy it")
    assert await world.run() == ["asked: Deploy the backend to staging?"]
    world.model.answers(SHIP)
    await world.answer("yes")
    assert await world.run() == ASKED


THANKED = "I have changed nothing. If something is to be changed, tell me which component and which environment."


async def test_who_said_thanks_gets_no_report_of_errors_whatever_the_model_insists_on() -> None:
    world = World(tools=SHIPS)
    for text, said in (("merci", [f"said: {THANKED}"]), ("lol", []), ("👍", [])):
        world.model.answers(SHIP, SHIP)
        await world.say(text)
        assert await world.run() == said, text
        assert world.thread.status == "done"
    assert world.desk.ran == []


async def test_an_invalid_answer_in_between_makes_it_no_report_of_errors() -> None:
    world = World(tools=SHIPS)
    world.model.answers(ModelFailure("invalid", "no step in it"), SHIP, SHIP)
    await world.say("merci")
    assert await world.run() == [f"said: {THANKED}"]


async def test_where_the_words_name_something_code_asks_for_the_rest() -> None:
    world = World(tools=SHIPS)
    world.model.answers(SHIP, LookAgain(in_minutes=1, reason="wait"))
    await world.say("deploy the backend")
    assert await world.run() == []
    world.model.answers(SHIP)
    assert await world.advance(61) == ["asked: Which environment do you mean?"]
    world.model.answers(SHIP)
    await world.answer("staging")
    assert await world.run() == ASKED


async def test_a_question_of_code_names_nothing_by_itself() -> None:
    world = World(tools=SHIPS)
    world.model.answers(SHIP, SHIP)
    await world.say("deploy the backend")
    assert await world.run() == ["asked: Which environment do you mean?"]
    world.model.answers(SHIP, SHIP)
    await world.answer("yes")
    assert await world.run() == [f"said: {THANKED}"]


async def test_who_nobody_has_verified_reads_that_a_verified_person_must_name_it() -> None:
    world = World(tools=SHIPS)
    world.model.answers(SHIP, SHIP)
    await world.say("deploy the backend to staging", by=EVE)
    assert await world.run() == ["asked: Which component and which environment do you mean?"]
    asked = world.thread.state.steps[world.thread.state.question]
    assert DOUBTFUL in str(asked.chosen.arguments["context"])
    assert DOUBTFUL in next(event for event in world.thread.events if isinstance(event, StepRefused)).error
    world.model.answers(SHIP)
    await world.say("yes, the backend on staging", by=ANN)
    assert await world.run() == ASKED


async def test_what_has_begun_is_told_by_the_model_so_code_says_nothing_in_its_place() -> None:
    world = World(tools=SHIPS)
    world.model.answers(Touch(), SHIP, SHIP, done("Touched."))
    await world.say("touch it")
    assert await world.run() == ["ran: touch", "said: Touched."]
    refused = [event for event in world.thread.events if isinstance(event, StepRefused)]
    assert ["say with done_for_now what came of it" in event.hint for event in refused] == [True, True]


async def test_somebody_who_writes_meanwhile_is_heard_before_code_says_anything() -> None:
    world = World(tools=SHIPS)

    async def names_it() -> None:
        await world.say("the backend to staging")

    world.model.answers(SHIP, SHIP, SHIP)
    await world.say("deploy it")
    world.store.after(StepRefused, names_it)
    assert await world.run() == ASKED


def test_a_stopped_thread_says_nothing_in_place_of_the_model() -> None:
    asyncio.run(_stopped())


async def _stopped() -> None:
    world = World(tools=SHIPS)

    async def stops() -> None:
        await world.stop()

    world.model.answers(SHIP, SHIP)
    await world.say("deploy it")
    world.store.after(StepChosen, stops)
    lines: Any = await world.run()
    assert not any("changed nothing" in line for line in lines)


def step_of(now: Thread) -> Step | None:
    action = decide(AGENT, now)
    return getattr(action, "step", None)


def test_a_trigger_that_names_nothing_is_answered_once_too() -> None:
    hook = TriggerReceived(id="hook/1", at=AT, source="hook", name="alert", data={"text": "all is well"})
    calls = [CALL.model_copy(update={"id": f"s{n}/chosen", "step": f"s{n}"}) for n in (1, 2)]
    refused = [StepRefused(id=f"s{n}/refused", at=AT, step=f"s{n}", error="Not begun.") for n in (1, 2)]
    now = thread(hook, calls[0], refused[0], calls[1], refused[1])
    assert step_of(now) == done(THANKED)
