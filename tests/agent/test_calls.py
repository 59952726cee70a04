"""What a plan sees of the steps of a thread: classes instead of names and dictionaries."""

from __future__ import annotations

from typing import Any

from agent.calls import calls, steps_taken
from agent.results import Result
from store.events import StepChosen, StepRefused, ToolFinished
from tests.telling.playbook import Look, Push, Touch
from tests.telling.story import AT, chosen, message, thread


class Pushed(Result):
    revision: str
    note: str = ""


def finished(step: str, result: object = None, error: str = "") -> ToolFinished:
    return ToolFinished.model_validate(
        {"id": f"{step}/finished", "at": AT, "step": step, "result": result, "error": error}
    )


def begun(step: str, intent: str, **arguments: Any) -> StepChosen:
    return chosen(step, intent, **arguments).model_copy(update={"begun": True})


def test_the_calls_of_a_tool_are_found_in_order_with_their_arguments() -> None:
    story = thread(begun("s1", "look"), finished("s1", "ok"), begun("s2", "touch"), finished("s2"), begun("s3", "look"))
    first, second = calls(story, Look)
    assert (first.step, first.index, first.is_open) == (Look(), 0, False)
    assert (second.step, second.index, second.is_open) == (Look(), 2, True)
    assert [call.state.id for call in calls(story, Look, Touch)] == ["s1", "s2", "s3"]
    assert calls(story, Push) == []


def test_a_result_is_read_as_what_the_tool_answers() -> None:
    story = thread(begun("s1", "push", target="prod"), finished("s1", {"revision": "v3", "unknown": 1}))
    (call,) = calls(story, Push)
    assert call.step.target == "prod"
    assert call.result(Pushed) == Pushed(revision="v3")
    assert Pushed(revision="v3").as_json() == {"revision": "v3"}


def test_what_has_no_such_result_gives_none() -> None:
    unlike: list[object] = [None, "It was done, but its result could not be stored.", {"revision": 3}, []]
    for result in unlike:
        (call,) = calls(thread(begun("s1", "push", target="prod"), finished("s1", result)), Push)
        assert call.result(Pushed) is None
    (under_way,) = calls(thread(begun("s1", "push", target="prod")), Push)
    assert under_way.result(Pushed) is None


def test_why_it_was_not_done_is_told() -> None:
    refused = StepRefused(id="s1/refused", at=AT, step="s1", error="Not there.")
    (call,) = calls(thread(chosen("s1", "push", target="prod"), refused), Push)
    assert (call.error, call.result(Pushed)) == ("Not there.", None)
    (failed,) = calls(thread(begun("s1", "look"), finished("s1", error="It broke.")), Look)
    assert failed.error == "It broke."


def test_what_words_overtook_is_as_good_as_not_chosen() -> None:
    story = thread(chosen("s1", "push", target="prod"), message("m2"), chosen("s2", "push", target="stage"))
    assert [call.step.target for call in calls(story, Push)] == ["stage"]
    assert [state.id for state in steps_taken(story)] == ["s2"]


def test_arguments_that_the_class_does_not_take_any_more_are_left_out() -> None:
    story = thread(begun("s1", "push", goal="prod"), finished("s1"), begun("s2", "push", target="prod"))
    assert [call.state.id for call in calls(story, Push)] == ["s2"]
