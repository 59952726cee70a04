"""What code chooses before the model does: looking things up, following a deployment, the pipeline after a merge, the
question whether to deploy what waits, and the end-to-end tests after a deployment to production. Pure: it reads the
steps that the thread has taken.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from agent.outreach import opening_of
from agent.roster.deploy.tools import (
    COMPONENTS,
    DeployBackend,
    DeployFrontend,
    ListCommits,
    ListDeployments,
    ListGitTags,
    ListWaitingCommits,
    RunEndToEndTests,
    WaitForDeployment,
)
from agent.steps import DoneForNow, HandOver, NothingToDo, Step, as_question
from store.events import MessageReceived, StepRefused, ToolFinished, TriggerReceived
from store.thread import DONE_FOR_NOW, HAND_OVER, OPEN, StepState, Thread

STALE_AFTER = timedelta(minutes=10)
"""What was looked up is looked up again when somebody writes later than this."""
DEPLOY = {"backend": DeployBackend, "frontend": DeployFrontend}
STARTS = ("deploy_backend", "deploy_frontend", "rollback")
WAIT = "wait_for_deployment"
TESTS = "run_end_to_end_tests"
WAITING = "list_waiting_commits"
WAITING_COMMITS = "waiting_commits"
OPENINGS = {
    WAITING_COMMITS: "asks whether to deploy the commits that production does not have yet, where there are any"
}


def planner(
    look_up: tuple[str, ...], *, in_production: tuple[str, ...] = (), on_failed_tests: str = ""
) -> Callable[[Thread], Step | None]:
    """The plan of an agent that deploys.

    `look_up`: one component for each repository. `in_production`: the components that have that target.
    `on_failed_tests`: the agent that takes the thread over when the tests of production fail; empty: the model is told
    and goes on.
    """

    def plan(thread: Thread) -> Step | None:
        # A step that somebody's words overtook before it began is as good as not chosen.
        steps = [step for step in thread.state.steps.values() if step.status != "superseded"]
        return (
            _follow(steps)
            or _after_merge(thread, steps)
            or _waiting_commits(thread, steps, in_production)
            or _look_up(thread, steps, look_up)
            or _test_production(thread, steps, on_failed_tests)
        )

    return plan


def _follow(steps: list[StepState]) -> Step | None:
    """A deployment that was started is waited for."""
    followed = {step.chosen.arguments.get("run_id") for step in steps if step.chosen.intent == WAIT}
    for step in reversed(steps):
        run_id = _result(step).get("run_id")
        if step.chosen.intent in STARTS and run_id and run_id not in followed:
            where = {"component": step.chosen.intent.removeprefix("deploy_"), **step.chosen.arguments}
            return WaitForDeployment.model_validate(
                {"component": where["component"], "environment": where["environment"], "run_id": run_id}
            )
    return None


def _after_merge(thread: Thread, steps: list[StepState]) -> Step | None:
    """Staging, then its tests; anything that fails or that somebody says in between is the model's to weigh."""
    merged = next((i for i, e in enumerate(thread.events) if _is_merge(e)), None)
    if merged is None:
        return None
    if any(isinstance(event, MessageReceived) and not event.answers for event in thread.events[merged:]):
        return None
    trigger = thread.events[merged]
    assert isinstance(trigger, TriggerReceived)
    sha = str(trigger.data.get("sha", ""))
    for component in COMPONENTS:
        asked = [s for s in steps if s.chosen.intent == f"deploy_{component}" and s.chosen.by == "code"]
        if not asked:
            return DEPLOY[component].model_validate({"environment": "staging", "revision": sha})
        run = _result(asked[-1]).get("run_id")
        ended = [s for s in steps if s.chosen.intent == WAIT and s.chosen.arguments.get("run_id") == run]
        if not run or not ended or _result(ended[-1]).get("state") != "succeeded":
            return None
    tested = any(s.chosen.intent == TESTS for s in steps)
    return None if tested else RunEndToEndTests(environment="staging")


def _is_merge(event: object) -> bool:
    return isinstance(event, TriggerReceived) and event.name == "pull_request_merged" and bool(event.data.get("sha"))


def _waiting_commits(thread: Thread, steps: list[StepState], components: tuple[str, ...]) -> Step | None:
    """Asks people whether to deploy what waits. Nobody is told where nothing does, and nothing is begun here."""
    if opening_of(thread) != WAITING_COMMITS or any(s.chosen.intent != WAITING for s in steps):
        return None
    looked = {str(s.chosen.arguments["component"]): s for s in steps}
    for component in components:
        if component not in looked:
            return ListWaitingCommits.model_validate({"component": component})
    failed = [f"{name}: {error}" for name, s in looked.items() if (error := _error(s))]
    waiting = {name: result for name, s in looked.items() if (result := _result(s)).get("count")}
    if waiting:
        counts = " and ".join(f"{_commits(result)} of the {name}" for name, result in waiting.items())
        since = _day(min(result["since"] for result in waiting.values()))
        newest = [line for name, result in waiting.items() for line in _newest(name, result)]
        one = len(waiting) == 1 and next(iter(waiting.values()))["count"] == 1
        question = f"{counts} {'waits' if one else 'wait'} for production since {since}. Deploy?"
        return as_question(question, "\n".join(newest + failed), yes_no=True)
    if failed:
        told = "\n".join(["I could not look at what waits for production.", *failed])
        return DoneForNow(message=told)
    return NothingToDo()


def _commits(result: dict[str, Any]) -> str:
    more = " or more" if "note" in result else ""
    return f"{result['count']}{more} commit{'' if result['count'] == 1 else 's'}"


def _day(date: str) -> str:
    try:
        return f"{datetime.fromisoformat(date):%A, %Y-%m-%d}"
    except ValueError:
        return date  # git lets a commit have any date


def _newest(component: str, result: dict[str, Any]) -> list[str]:
    rows = [f"{component} {row['sha']} {row['subject']} ({row['author']})" for row in result["commits"]]
    older = result["count"] - len(rows)
    return [*rows, *([f"{component}: and {older} older"] if older else [])]


def _look_up(thread: Thread, steps: list[StepState], components: tuple[str, ...]) -> Step | None:
    """What the model will want to know, before it is asked for the first time and whenever that has grown old."""
    spoken = [e.at for e in thread.events if isinstance(e, MessageReceived | TriggerReceived)]
    if not spoken or not (thread.state.news or thread.state.unread):
        return None
    fresh_from = max(spoken) - STALE_AFTER

    def needed(intent: str, *, since: int = -1, **arguments: str) -> bool:
        looked = [
            index for index, s in enumerate(steps) if (s.chosen.intent, s.chosen.arguments) == (intent, arguments)
        ]
        return not looked or looked[-1] < since or steps[looked[-1]].chosen.at < fresh_from

    for component in components:
        if needed("list_git_tags", component=component):
            return ListGitTags.model_validate({"component": component})
        if needed("list_commits", component=component):
            return ListCommits.model_validate({"component": component})
    # A deployment that ended changes what runs.
    changed = max((i for i, s in enumerate(steps) if s.chosen.intent == WAIT and s.ended), default=-1)
    if needed("list_deployments", since=changed):
        return ListDeployments()
    return None


def _test_production(thread: Thread, steps: list[StepState], on_failed_tests: str) -> Step | None:
    """After the model is done with a thread that changed production: test, and say how it went or hand over."""
    changed = _last(steps, lambda s: s.chosen.intent == WAIT and _result(s).get("state") == "succeeded"
                    and s.chosen.arguments.get("environment") == "production")  # fmt: skip
    if changed is None:
        return None
    tested = _last(steps, lambda s: s.chosen.intent == TESTS and s.chosen.by == "code"
                   and s.chosen.arguments.get("environment") == "production")  # fmt: skip
    latest = steps[-1]
    if tested is None or steps.index(tested) < steps.index(changed):
        done = latest.chosen.intent == DONE_FOR_NOW and latest.chosen.by == "model" and not thread.state.news
        return RunEndToEndTests(environment="production") if done else None
    if latest is not tested or latest.status in OPEN:
        return None
    result = _result(tested)
    if result.get("passed") is True:
        return DoneForNow(message=f"The end-to-end tests on production passed.\n{result.get('output', '')}")
    if on_failed_tests and not any(s.chosen.intent == HAND_OVER for s in steps):
        return HandOver(agent=on_failed_tests, reason="The end-to-end tests on production failed.")
    return None


def _last(steps: list[StepState], which: Callable[[StepState], bool]) -> StepState | None:
    return next((step for step in reversed(steps) if which(step)), None)


def _error(step: StepState) -> str:
    return step.ended.error if isinstance(step.ended, ToolFinished | StepRefused) else ""


def _result(step: StepState) -> dict[str, Any]:
    return step.result if isinstance(step.result, dict) else {}
