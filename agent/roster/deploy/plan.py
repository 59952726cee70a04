"""The steps that code chooses before the model: looking things up, following a deployment, the pipeline after a merge,
and the end-to-end tests after a deployment to production.

What the team file does not set up (a target staging, end-to-end tests) is not attempted, and people are told that it
did not happen: its absence is neither a failure nor a success.

Each rule is a function from the thread to its next step, or None; `planner` puts them in order. Pure: a rule keeps no
state, because the steps taken are in the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from agent import (
    Called,
    DoneForNow,
    HandOver,
    MessageReceived,
    SendUpdate,
    Step,
    Thread,
    Tool,
    TriggerReceived,
    as_question,
    calls,
    steps_taken,
)
from agent.roster.deploy.site import Component
from agent.roster.deploy.tools.deploy import Deploy, DeployBackend, DeployFrontend, Rollback, Started
from agent.roster.deploy.tools.follow import Outcome, RunEndToEndTests, Tested, WaitForDeployment
from agent.roster.deploy.tools.look import ListCommits, ListDeployments, ListGitTags
from agent.roster.deploy.waiting import waiting_commits

STALE_AFTER = timedelta(minutes=10)
"""Results older than this are looked up again when somebody writes."""
DEPLOY: dict[Component, type[Deploy]] = {"backend": DeployBackend, "frontend": DeployFrontend}


@dataclass(frozen=True, slots=True)
class AfterMerge:
    """The pipeline after a merge: the components that it deploys to staging, and those that have no such target."""

    deployed: tuple[Component, ...]
    left_out: tuple[Component, ...]


def planner(
    look_up: tuple[Component, ...],
    *,
    tested: Collection[str],
    in_production: tuple[Component, ...] = (),
    after_merge: AfterMerge | None = None,
    on_failed_tests: str = "",
) -> Callable[[Thread], Step | None]:
    """The plan of an agent that deploys.

    `look_up`: one component for each repository. `tested`: the environments that have end-to-end tests.
    `in_production`: the components that have that target. `after_merge`: None if the agent deploys no merges.
    `on_failed_tests`: the agent that takes over when the tests of production fail; empty: the model sees the failure
    and continues.
    """

    def plan(thread: Thread) -> Step | None:
        return (
            _follow(thread)
            or (_after_merge(thread, after_merge, tested) if after_merge else None)
            or waiting_commits(thread, in_production)
            or _look_up(thread, look_up)
            or _check_production(thread, tested, on_failed_tests)
        )

    return plan


def _follow(thread: Thread) -> Step | None:
    """Wait for a deployment that was started."""
    followed = {wait.step.run_id for wait in calls(thread, WaitForDeployment)}
    for start in reversed(_starts(thread)):
        started = start.result(Started)
        if started and started.run_id not in followed:
            return WaitForDeployment(
                component=start.step.component, environment=start.step.environment, run_id=started.run_id
            )
    return None


def _starts(thread: Thread) -> list[Called[Deploy] | Called[Rollback]]:
    found: list[Called[Deploy] | Called[Rollback]] = []
    found += calls(thread, *DEPLOY.values())
    found += calls(thread, Rollback)
    return sorted(found, key=lambda start: start.index)


def _after_merge(thread: Thread, pipeline: AfterMerge, tested: Collection[str]) -> Step | None:
    """Deploy to staging, then test it. After a failure or a message, the model decides."""
    merged = next((index for index, event in enumerate(thread.events) if _is_merge(event)), None)
    if merged is None or calls(thread, RunEndToEndTests):
        return None
    if any(isinstance(event, MessageReceived) and not event.answers for event in thread.events[merged:]):
        return None
    trigger = thread.events[merged]
    assert isinstance(trigger, TriggerReceived)
    for component in pipeline.deployed:
        deploy = DEPLOY[component]
        asked = [call for call in calls(thread, deploy) if call.by_code]
        if not asked:
            return deploy(environment="staging", revision=str(trigger.data.get("sha", "")))
        if not _succeeded(thread, asked[-1].result(Started)):
            return None
    if missing := _not_done_on_staging(pipeline, tested):
        update = SendUpdate(message=missing)
        if all(call.step != update for call in calls(thread, SendUpdate)):
            return update
    return RunEndToEndTests(environment="staging") if pipeline.deployed and "staging" in tested else None


def _not_done_on_staging(pipeline: AfterMerge, tested: Collection[str]) -> str:
    """What people must know about a merge, because the team file sets up no more; empty: everything is set up."""
    if not pipeline.deployed:
        return "No component has a target staging in the team file, so nothing was deployed there."
    missing = [
        f"The {component} has no target staging in the team file, so it was not deployed there."
        for component in pipeline.left_out
    ]
    if "staging" not in tested:
        missing.append(_untested("staging"))
    return " ".join(missing)


def _untested(environment: str) -> str:
    return f"No end-to-end tests are configured for {environment}, so nothing was tested there."


def _is_merge(event: object) -> bool:
    return isinstance(event, TriggerReceived) and event.name == "pull_request_merged" and bool(event.data.get("sha"))


def _succeeded(thread: Thread, started: Started | None) -> bool:
    waits = [wait for wait in calls(thread, WaitForDeployment) if started and wait.step.run_id == started.run_id]
    outcome = waits[-1].result(Outcome) if waits else None
    return outcome is not None and outcome.state == "succeeded"


def _look_up(thread: Thread, components: tuple[Component, ...]) -> Step | None:
    """Look up what the model will need, before it is asked for the first time and when the results are stale."""
    spoken = [event.at for event in thread.events if isinstance(event, MessageReceived | TriggerReceived)]
    if not spoken or not (thread.state.news or thread.state.unread):
        return None
    fresh_from = max(spoken) - STALE_AFTER

    def needed(look: Tool, *, since: int = -1) -> bool:
        looked = [call for call in calls(thread, type(look)) if call.step == look]
        return not looked or looked[-1].index < since or looked[-1].at < fresh_from

    for component in components:
        for look in (ListGitTags(component=component), ListCommits(component=component)):
            if needed(look):
                return look
    # A finished deployment changes what runs.
    ended = [wait.index for wait in calls(thread, WaitForDeployment) if wait.state.ended]
    if needed(ListDeployments(), since=max(ended, default=-1)):
        return ListDeployments()
    return None


def _check_production(thread: Thread, tested: Collection[str], on_failed_tests: str) -> Step | None:
    """When the model is done and production has changed: test it, then report, ask or hand over."""
    changed = [wait for wait in calls(thread, WaitForDeployment) if _changed_production(wait)]
    if not changed:
        return None
    done = _model_is_done(thread) and not thread.state.news
    if "production" not in tested:
        report = DoneForNow(message=_untested("production"))
        reported = any(call.step == report and call.index > changed[-1].index for call in calls(thread, DoneForNow))
        return report if done and not reported else None
    tests = [test for test in calls(thread, RunEndToEndTests) if test.by_code and test.step.environment == "production"]
    if not tests or tests[-1].index < changed[-1].index:
        return RunEndToEndTests(environment="production") if done else None
    if tests[-1].state is not steps_taken(thread)[-1] or tests[-1].is_open:
        return None
    return _after_tests(thread, tests[-1], on_failed_tests)


def _after_tests(thread: Thread, test: Called[RunEndToEndTests], on_failed_tests: str) -> Step | None:
    result = test.result(Tested)
    if result is None:
        # Nothing is known about production, so there is no reason to roll it back.
        return as_question(
            "The end-to-end tests on production could not be run, so nothing was tested. What shall I do?",
            test.error,
            urgent=True,
        )
    if result.passed:
        return DoneForNow(message=f"The end-to-end tests on production passed.\n{result.output}")
    if on_failed_tests and not calls(thread, HandOver):
        return HandOver(agent=on_failed_tests, reason="The end-to-end tests on production failed.")
    return None


def _changed_production(wait: Called[WaitForDeployment]) -> bool:
    outcome = wait.result(Outcome)
    return wait.step.environment == "production" and outcome is not None and outcome.state == "succeeded"


def _model_is_done(thread: Thread) -> bool:
    done = calls(thread, DoneForNow)
    return bool(done) and done[-1].by_model and done[-1].state is steps_taken(thread)[-1]
