"""What a demo that goes on says of itself, and where its scenario goes on."""

from __future__ import annotations

from bot.cli.demo.going_on import what_happened
from bot.cli.demo.scenario import OBJECTION, scenes_played
from store.events import Event
from tests.telling.story import ANN, approved, chosen, finished, message, rejected, requested, started, thread


def deployed(step: str, component: str, environment: str, state: str = "succeeded") -> list[Event]:
    call = chosen(step, "wait_for_deployment", component=component, environment=environment)
    return [call, started(step), finished(step, {"state": state})]


def end_to_end(step: str, environment: str, *, passed: bool) -> list[Event]:
    call = chosen(step, "run_end_to_end_tests", environment=environment)
    return [call, started(step), finished(step, {"passed": passed})]


def asked_for(step: str, component: str) -> list[Event]:
    call = chosen(step, "deploy", acts=True, component=component, environment="live")
    return [call, requested(step, title=f"Deploy {component} to live")]


def test_what_happened_is_told_in_its_order_and_environments_with_the_same_stand_together() -> None:
    events = [
        *deployed("s1", "orders", "lab"),
        *deployed("s2", "checkout", "lab"),
        *deployed("s3", "orders", "preview"),
        *deployed("s4", "checkout", "preview"),
        *end_to_end("s5", "preview", passed=True),
        *asked_for("s6", "checkout"),
        rejected("s6", by=ANN, comment="not [bold]now[/]"),
        *deployed("s7", "orders", "live"),
        *deployed("s8", "checkout", "live", state="failed"),
        *end_to_end("s9", "live", passed=False),
    ]
    assert what_happened(thread(*events)) == [
        "orders and checkout were deployed to lab and preview",
        "the tests on preview passed",
        "Ann rejected “Deploy checkout to live” (“not [bold]now[/]”)",
        "orders was deployed to live",
        "the tests on live failed",
    ]
    assert what_happened(thread()) == []


def test_the_scenario_goes_on_after_the_scenes_that_were_played() -> None:
    first, second = asked_for("s1", "checkout"), asked_for("s2", "orders")
    no, yes = rejected("s1", comment=OBJECTION), approved("s2")
    assert scenes_played(thread(*first)) == 0
    assert scenes_played(thread(*first, no)) == 1
    assert scenes_played(thread(*first, no, *second)) == 1
    assert scenes_played(thread(*first, no, *second, yes)) == 2


def test_the_scenario_does_not_go_on_where_something_else_happened() -> None:
    first = asked_for("s1", "checkout")
    assert scenes_played(thread(*first, rejected("s1"))) is None, "without the objection"
    assert scenes_played(thread(*first, approved("s1"))) is None
    assert scenes_played(thread(*asked_for("s1", "orders"), rejected("s1", comment=OBJECTION))) is None
    assert scenes_played(thread(*first, message("wait"))) is None, "somebody took part"
