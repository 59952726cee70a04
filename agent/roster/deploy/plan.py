"""The steps that code chooses before the model: looking things up, following a deployment, and the tests of what a
deployment has changed. Those after a merge are in `after_merge.py`.

Which environments there are, in which order, which of them need no approval and which are tested, the site says. What
the team file does not set up (a target, tests) is not attempted, and people are told that it did not happen: its
absence is neither a failure nor a success.

Each rule is a function from the thread to its next step, or None; `planner` puts them in order. Pure: a rule keeps no
state, because the steps taken are in the thread.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import timedelta

from agent import (
    Called,
    DoneForNow,
    HandOver,
    MessageReceived,
    Step,
    Thread,
    TriggerReceived,
    as_question,
    calls,
    steps_taken,
)
from agent.roster.deploy.after_merge import after_merge, passed, tests_by_code, untested
from agent.roster.deploy.site import DeployConfig
from agent.roster.deploy.superseded import no_longer_proposed, withdrawn
from agent.roster.deploy.tools.deploy import Deploy, Rollback, Started
from agent.roster.deploy.tools.follow import Outcome, RunEndToEndTests, Tested, WaitForDeployment
from agent.roster.deploy.tools.look_up import LookUp
from agent.roster.deploy.waiting import waiting_commits

STALE_AFTER = timedelta(minutes=10)
"""Results older than this are looked up again when somebody writes."""
COMPONENTS_LOOKED_UP_MAX = 10
"""Of more components, only those are looked up that the words name."""


def planner(site: DeployConfig, *, leads: bool) -> Callable[[Thread], Step | None]:
    """The plan of an agent that deploys.

    `leads`: it also looks things up, deploys merges, asks about waiting commits, and lets another agent take over when
    tests fail, as the site says. Otherwise it only follows deployments and tests them.
    """

    def plan(thread: Thread) -> Step | None:
        return (
            _follow(thread)
            or (withdrawn(thread) if leads else None)
            or (after_merge(thread, site) if leads else None)
            or (no_longer_proposed(thread) if leads else None)
            or (waiting_commits(thread, site) if leads else None)
            or _look_up(thread, site, whole=leads)
            or _test(thread, site, hands_over=leads)
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
    found: list[Called[Deploy] | Called[Rollback]] = [*calls(thread, Deploy), *calls(thread, Rollback)]
    return sorted(found, key=lambda start: start.index)


def _look_up(thread: Thread, site: DeployConfig, *, whole: bool) -> Step | None:
    """Look up what the model will need, before it is asked for the first time and when the results are stale."""
    spoken = [event.at for event in thread.events if isinstance(event, MessageReceived | TriggerReceived)]
    if not spoken or not (thread.state.news or thread.state.unread):
        return None
    looks = calls(thread, LookUp)
    fresh = [look for look in looks if look.at >= max(spoken) - STALE_AFTER]
    looked = {
        component for look in fresh if not (whole and look.step.only_what_runs) for component in look.step.components
    }
    concerned = _concerned(thread, site)
    if new := tuple(component for component in concerned if component not in looked):
        return LookUp(components=new, only_what_runs=not whole)
    # A finished deployment changes what runs.
    ended = [wait for wait in calls(thread, WaitForDeployment) if wait.state.ended]
    if concerned and ended and looks[-1].index < ended[-1].index:
        return LookUp(components=concerned, after=ended[-1].step.run_id, only_what_runs=True)
    return None


def _concerned(thread: Thread, site: DeployConfig) -> tuple[str, ...]:
    """All components; of many, those that the words name, and those that were deployed."""
    if len(site.components) <= COMPONENTS_LOOKED_UP_MAX:
        return tuple(site.components)
    named = {wait.step.component for wait in calls(thread, WaitForDeployment)}
    for event in thread.events:
        match event:
            case MessageReceived():
                named |= _named_in(f"{event.subject} {event.text}", site)
            case TriggerReceived():
                named |= _named_in(" ".join(str(value) for value in event.data.values()), site)
            case _:
                pass
    return tuple(component for component in site.components if component in named)


def _named_in(words: str, site: DeployConfig) -> set[str]:
    others = {
        name for name, one in site.components.items() if any(also.casefold() in words.casefold() for also in one.also)
    }
    return named_in(words, tuple(site.components)) | others


def named_in(words: str, names: tuple[str, ...]) -> set[str]:
    """The names that stand in the words as words of their own; `pay-api` also as `pay api`."""
    found = {re.sub("[_ ]", "-", name.lower()) for name in _any_of(names).findall(words)}
    return {name for name in names if name.replace("_", "-") in found}


@functools.cache
def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    spelled = "|".join(re.sub("[-_]", "[-_ ]", name) for name in longest_first)
    return re.compile(rf"(?<![\w-])(?:{spelled})(?![\w-])", re.IGNORECASE)


def _test(thread: Thread, site: DeployConfig, *, hands_over: bool) -> Step | None:
    """When the model is done: test each environment that has changed, in order; then report, ask or hand over."""
    done = _model_was_done(thread)
    changed = _changed(thread)
    if done is None or not changed or _more_is_to_come(thread):
        return None
    reports = []
    for environment in (name for name in site.order if name in changed):
        if environment not in site.tested:
            if environment not in site.free and not _is_said(thread, untested(environment), changed[environment]):
                reports.append(untested(environment))
            continue
        tests = [test for test in tests_by_code(thread, environment) if test.index > changed[environment]]
        if not tests:
            # Another test has just ended, or else there must be no news at all.
            heard = thread.state.unread if done + 1 < len(steps_taken(thread)) else thread.state.news
            return None if heard else RunEndToEndTests(environment=environment)
        test = tests[-1]
        if test.is_open:
            return None
        if test.index < done:
            continue  # The model knows how it ended.
        if not passed(test):
            return _after_failed_test(thread, test, site, hands_over=hands_over)
        reports.append(f"The end-to-end tests on {environment} passed.\n{_output(test)}")
    return DoneForNow(message="\n".join(reports)) if reports else None


def _model_was_done(thread: Thread) -> int | None:
    """The index of the step with which the model was done, if nothing but tests by code has followed; else None."""
    taken = steps_taken(thread)
    since = {test.state.id for test in calls(thread, RunEndToEndTests) if test.by_code}
    done = next((index for index in reversed(range(len(taken))) if taken[index].id not in since), None)
    is_done = any(call.index == done and call.by_model for call in calls(thread, DoneForNow))
    return done if is_done else None


def _more_is_to_come(thread: Thread) -> bool:
    """A call waits for its approval, or is about to begin, or is under way: half of a deployment would be tested."""
    followed = calls(thread, WaitForDeployment)
    return bool(thread.open_steps("requested", "approved")) or any(wait.is_open for wait in followed)


def _changed(thread: Thread) -> dict[str, int]:
    """The environments that have changed, each with the index of the step that says so."""
    return {
        wait.step.environment: wait.index
        for wait in calls(thread, WaitForDeployment)
        if (outcome := wait.result(Outcome)) and outcome.state == "succeeded"
    }


def _is_said(thread: Thread, words: str, since: int) -> bool:
    return any(words in call.step.message and call.index > since for call in calls(thread, DoneForNow))


def _after_failed_test(
    thread: Thread, test: Called[RunEndToEndTests], site: DeployConfig, *, hands_over: bool
) -> Step | None:
    environment = test.step.environment
    if test.state is not steps_taken(thread)[-1]:
        return None
    if test.result(Tested) is None:
        # Nothing is known about the environment, so there is no reason to roll it back.
        return as_question(
            f"The end-to-end tests on {environment} could not be run, so nothing was tested. What shall I do?",
            test.error,
            urgent=True,
        )
    agent = site.environments[environment].on_failed_test
    if hands_over and agent and not calls(thread, HandOver):
        return HandOver(agent=agent, reason=f"The end-to-end tests on {environment} failed.")
    return None


def _output(test: Called[RunEndToEndTests]) -> str:
    result = test.result(Tested)
    return result.output if result else ""
