"""The program's log: one line for each event, by the process that appended it, and no word of what people wrote."""

from __future__ import annotations

import logging
from typing import Any

import structlog.testing

from agent.lines import ERROR_CHARS_MAX, level_of, line_of
from agent.model.base import ModelFailure
from store.deliveries import MessageFailed
from store.events import ApprovalRequested, HandedToHuman, ThreadPaused, ToolFinished, UnknownEvent
from store.memory import MemoryStore
from store.recovery import write_back
from store.thread import Thread
from store.values import Person
from tests.telling.playbook import Broken, Flaky, Look, Push, World, ask, done
from tests.telling.story import ANN, BOB

SECRET = "hunter2"


def said(line: Any) -> str:
    """In short: what happened, to which step, by whom."""
    words = [line["event"], *(str(line[key]) for key in ("step", "intent", "scope", "person", "key") if key in line)]
    return " ".join(words)


async def test_a_story_is_told_line_by_line() -> None:
    world = World()
    world.model.answers(Look(), Push(target="prod"), done(f"It is out, {SECRET}."))
    with structlog.testing.capture_logs() as logs:
        await world.say(f"push to prod, please. {SECRET}")
        await world.run()
        await world.pause()
        await world.resume()
        await world.approve(comment=SECRET)
        await world.run()
    assert [said(line) for line in logs] == [
        "thread_opened",
        "message_received Ann",
        "step_chosen s2 look",
        "tool_finished s2 look",
        "step_chosen s4 push",
        "approval_requested s4 push",
        "message_sent s4/card",
        "thread_paused Ann",
        "thread_resumed Ann",
        "approval_decided s4 push Ann",
        "message_sent s4/settled",
        "tool_started s4 push",
        "tool_finished s4 push",
        "step_chosen s13 done_for_now",
        "message_sent s13/say",
    ]
    assert {line["thread"] for line in logs} == {world.thread.id}
    assert {line["log_level"] for line in logs} == {"info"}
    assert SECRET not in str(logs)
    kinds = [line["event"] for line in logs]
    assert kinds == world.kinds, "one line for each event"


async def test_a_line_says_what_it_cost_and_how_long_it_took() -> None:
    world = World()
    world.model.answers(Push(target="prod"), done())
    await world.say("push")
    with structlog.testing.capture_logs() as logs:
        await world.run()

        async def take_a_while() -> None:
            world.clock.advance(2.5)

        world.desk.during("push", take_a_while)
        await world.approve()
        await world.run()
    lines = {line["event"]: line for line in logs}
    chosen = logs[0]
    assert (chosen["input_tokens"], chosen["output_tokens"], chosen["model"]) == (10, 1, "script")
    assert chosen["milliseconds"] >= 0
    asked = lines["approval_requested"]
    assert (asked["group"], asked["quorum"], asked["agent"]) == ("anyone", 1, "ops")
    decided = lines["approval_decided"]
    assert (decided["approved"], decided["outcome"], decided["address"]) == (True, "settled", ANN.address)
    assert decided["request"] == asked["request"]
    started, ended = lines["tool_started"], lines["tool_finished"]
    assert started["attempt"] == ended["attempt"] == 1
    assert ended["milliseconds"] == 2_500
    assert lines["message_sent"]["channel"] == world.place.channel


async def test_what_goes_wrong_is_a_line_too() -> None:
    world = World()
    world.model.answers(ModelFailure("invalid", "no\nJSON", model="script"), Flaky(how="left"), Look())
    world.model.answers(Push(target="nowhere"), Broken())
    await world.say("do it")
    with structlog.testing.capture_logs() as logs:
        await world.run()
    lines = {line["event"]: line for line in logs if line["event"] != "step_chosen" and line.get("intent") != "look"}
    assert lines["choice_failed"]["reason"] == "invalid"
    assert lines["choice_failed"]["error"] == "no JSON"
    assert lines["tool_finished"]["error"] == "Not 'left'. Try 'right'."
    assert lines["step_refused"]["error"] == "There is no target 'nowhere'. Try 'prod'."
    assert lines["tool_interrupted"]["error"] == "RuntimeError: the wire was cut"
    assert lines["tool_interrupted"]["log_level"] == "warning"


async def test_an_answer_that_comes_too_late_is_a_line_with_its_cost() -> None:
    world = World()

    async def meanwhile(_: str) -> Push:
        await world.say("wait, not yet")
        return Push(target="prod")

    world.model.answers(meanwhile, ask("When?"))
    await world.say("push")
    with structlog.testing.capture_logs() as logs:
        await world.run()
    assert [line["event"] for line in logs] == ["message_received", "choice_failed", "step_chosen", "message_sent"]
    assert (logs[1]["reason"], logs[1]["input_tokens"]) == ("outdated", 10)


async def test_what_changed_nothing_is_no_line() -> None:
    """A message that is delivered again, a second click."""
    world = World()
    world.model.answers(Push(target="prod"))
    await world.say("push", event_id="m1")
    await world.run()
    await world.approve()
    with structlog.testing.capture_logs() as logs:
        await world.say("push", event_id="m1")
        await world.approve()
        assert not await world.inbox.place_regained("t-unknown", "terminal", event_id="m1")
    assert logs == []


async def test_a_vote_that_does_not_count_is_a_line() -> None:
    world = World()
    world.model.answers(Push(target="prod"))
    await world.say("push")
    await world.run()
    await world.approve()
    with structlog.testing.capture_logs() as logs:
        await world.reject(by=BOB)
    (line,) = logs
    assert (line["event"], line["person"], line["approved"], line["outcome"]) == (
        "approval_decided",
        "Bob",
        False,
        "too_late",
    )


async def test_a_copied_thread_says_nothing_of_what_happened_elsewhere() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    elsewhere = world.place.model_copy(update={"address": "elsewhere"})
    with structlog.testing.capture_logs() as logs:
        await world.inbox.fork(world.thread.id, 3, ANN, elsewhere)
    assert [line["event"] for line in logs] == ["thread_opened", "thread_forked"]


async def test_what_is_written_back_is_not_reported_again() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    emptied = MemoryStore(world.clock)
    await emptied.append(Thread(world.thread.id), *world.thread.events[:2])
    world.store.real = emptied
    with structlog.testing.capture_logs() as logs:
        turn = world.loop.turn(world.thread, await world.claim())
        await turn.refresh()
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("log_diverged", "error"),
        ("events_lost", "error"),
    ]
    assert logs[1]["restored"] == world.thread.version - 2
    assert (await write_back(emptied, turn.thread, now=world.clock)).record is None


def test_hostile_text_is_one_short_line() -> None:
    clock = World().clock
    error = "a\n\x1b[2J\u202eb" + "x" * 1_000
    line = line_of(ToolFinished(id="s1/finished", at=clock(), step="s1", error=error), Thread("t1"))
    assert line
    assert str(line.fields["error"]).startswith("a \\u{1b}[2J\\u{202e}bxx")
    assert len(str(line.fields["error"])) == ERROR_CHARS_MAX
    lost = MessageFailed(id="f", at=clock(), key="s1/say\n", attempt=1, error="no")
    assert level_of(lost) == logging.WARNING
    handed = line_of(HandedToHuman(id="h", at=clock(), limit="errors", reason="one\ntwo"), Thread("t1"))
    assert handed
    assert handed.fields == {"thread": "t1", "limit": "errors", "error": "one two"}


def test_an_event_that_nobody_here_can_have_appended_is_no_line() -> None:
    assert line_of(UnknownEvent(kind="new", id="n", at=World().clock()), Thread("t1")) is None


def test_a_request_without_its_step_is_a_line_all_the_same() -> None:
    event = ApprovalRequested(id="s9/requested", at=World().clock(), step="s9", digest="0123456789abcdef")
    line = line_of(event, Thread("t1"))
    assert line
    assert line.fields == {"thread": "t1", "step": "s9", "request": "01234567"}


def test_a_person_is_named_as_the_log_of_the_thread_names_them() -> None:
    person = Person(name="Ann\u202e", address="U1", member="ann")
    line = line_of(ThreadPaused(id="p", at=World().clock(), by=person), Thread("t1"))
    assert line
    assert line.fields == {"thread": "t1", "person": "Ann\\u{202e}", "address": "U1", "member": "ann"}
