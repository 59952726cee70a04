"""The steps that code chooses after a merge: to each environment that needs no approval, in order, and tested there.

On each of them merges go one after the other (`line.py`): a merge waits for its turn, is deployed and tested, and makes
room. After a failure or a message, the model decides. Where the team says so, a newer merge takes the place of an older
proposal: its thread is told, withdraws the request and says why. What has begun goes on to its end.

Pure: what was done is in the thread.
"""

from __future__ import annotations

from agent import Called, MessageReceived, SendUpdate, Step, Thread, TriggerReceived, calls, steps_taken
from agent.roster.deploy.merges import goes_on, instead_of_it, is_merge, once
from agent.roster.deploy.site import DeployConfig
from agent.roster.deploy.tools.deploy import Deploy, Rollback, Started
from agent.roster.deploy.tools.follow import Outcome, RunEndToEndTests, Tested, WaitForDeployment
from agent.roster.deploy.tools.look import ComponentsWith, ListComponentsWith
from agent.roster.deploy.tools.merges import LeaveLine, SupersedeOlder, Turn, WaitForTurn


def after_merge(thread: Thread, site: DeployConfig) -> Step | None:
    """The next step of the pipeline. None: it is over, or it waits for something."""
    merged = next((index for index, event in enumerate(thread.events) if is_merge(event)), None)
    if merged is None or _acted_otherwise(thread) or goes_on(thread):
        return None
    if any(isinstance(event, MessageReceived) and not event.answers for event in thread.events[merged:]):
        return _leave(thread)
    trigger = thread.events[merged]
    assert isinstance(trigger, TriggerReceived)
    revision = str(trigger.data.get("sha", ""))
    concerned = _merged_into(thread, site, revision)
    if not isinstance(concerned, tuple):
        return concerned
    if first := _announce(thread, site, trigger) or _supersede(thread, site, concerned, revision):
        return first
    for environment in site.unattended:
        here = tuple(component for component in site.having(environment) if component in concerned)
        ended = _on(thread, site, environment, here, concerned, revision) if here else True
        if not isinstance(ended, bool):
            return ended
        if not ended:
            return None
    return _say_what_is_not_done(thread, site, concerned)


def _on(
    thread: Thread, site: DeployConfig, environment: str, here: tuple[str, ...], concerned: tuple[str, ...], sha: str
) -> Step | bool:
    """The next step on this environment. Otherwise: whether it went well, so that the next one follows."""
    waits = [wait for wait in calls(thread, WaitForTurn) if wait.by_code and wait.step.environment == environment]
    begun = any(call.by_code and call.step.environment == environment for call in calls(thread, Deploy))
    in_turn = site.environments[environment].in_turn
    if in_turn and not waits and not begun:  # An older version began without a turn.
        return WaitForTurn(components=here, environment=environment, revision=sha)
    turn = waits[-1].result(Turn) if waits else None
    if turn and turn.state == "passed":
        return once(thread, f"{sha[:7]} was not deployed to {environment}: {instead_of_it(turn.instead)}.") or False
    ended = False if waits and not turn else _deployed(thread, site, environment, here, concerned, sha)
    return (_leave(thread) or ended) if isinstance(ended, bool) else ended


def _deployed(
    thread: Thread, site: DeployConfig, environment: str, here: tuple[str, ...], concerned: tuple[str, ...], sha: str
) -> Step | bool:
    """The next step of deploying and testing it. Otherwise: whether it went well."""
    for component in here:
        step = Deploy(component=component, environment=environment, revision=sha)
        asked = [call for call in calls(thread, Deploy) if call.by_code and call.step == step]
        if not asked:
            return step
        if not _succeeded(thread, asked[-1].result(Started)):
            return False
    if environment in site.tested:
        tests = tests_by_code(thread, environment)
        if not tests:
            return _say_what_is_not_done(thread, site, concerned) or RunEndToEndTests(environment=environment)
        return passed(tests[0])
    return True


def _leave(thread: Thread) -> Step | None:
    """Make room on an environment where this thread may stand in the line; None: it does not."""
    left = {leave.step.environment: leave.index for leave in calls(thread, LeaveLine)}
    for wait in calls(thread, WaitForTurn):
        turn = wait.result(Turn)
        if (turn is None or turn.state == "first") and left.get(wait.step.environment, -1) < wait.index:
            return LeaveLine(environment=wait.step.environment)
    return None


def _announce(thread: Thread, site: DeployConfig, trigger: TriggerReceived) -> Step | None:
    """Say what a hook has told, at the beginning of the conversation that it has opened."""
    facts = {name: str(value) for name, value in trigger.data.items() if name not in trigger.third_party}
    if not facts.get("repository") or not facts.get("pull_request"):
        return None
    by = f" by {facts['merged_by']}" if facts.get("merged_by") else ""
    into = f" into {facts['base']}" if facts.get("base") else ""
    link = f" {facts['url']}" if facts.get("url") else ""
    what = f"Pull request {facts['pull_request']} of {facts['repository']} was merged{into}{by}: {facts['sha'][:7]}."
    then = f" I deploy it to {', then to '.join(site.unattended)}." if site.unattended else ""
    update = SendUpdate(message=f"{what}{then}{link}")
    return None if any(call.by_code for call in calls(thread, SendUpdate, Deploy)) else update


def _supersede(thread: Thread, site: DeployConfig, concerned: tuple[str, ...], sha: str) -> Step | None:
    """Once, before anything is deployed."""
    may = [name for name in concerned if any(site.supersedes(name, each) for each in site.components[name].targets)]
    is_done = any(call.by_code for call in calls(thread, SupersedeOlder, Deploy))
    return SupersedeOlder(components=tuple(may), revision=sha) if may and not is_done else None


def _merged_into(thread: Thread, site: DeployConfig, revision: str) -> tuple[str, ...] | Step | None:
    """The components that a merge concerns, or the step that looks for them. None: they could not be found."""
    if len(site.one_of_each_repository) == 1:
        return tuple(site.components)
    look = ListComponentsWith(revision=revision)
    looked = [call for call in calls(thread, ListComponentsWith) if call.by_code and call.step == look]
    if not looked:
        return look
    found = looked[-1].result(ComponentsWith)
    return found.components if found else None


def _acted_otherwise(thread: Thread) -> bool:
    """Whether the thread has deployed by steps that no longer exist: its pipeline began in another version."""
    known = {Deploy.intent_name(), Rollback.intent_name()}
    return any(step.chosen.acts and step.chosen.intent not in known for step in steps_taken(thread))


def _say_what_is_not_done(thread: Thread, site: DeployConfig, concerned: tuple[str, ...]) -> Step | None:
    """Once."""
    update = SendUpdate(message=_not_done_after_merge(site, concerned))
    is_said = any(call.step == update for call in calls(thread, SendUpdate))
    return None if is_said or not update.message else update


def _not_done_after_merge(site: DeployConfig, concerned: tuple[str, ...]) -> str:
    """What people must know about a merge, because the team file sets up no more; empty: everything is set up."""
    if not concerned:
        return "No component's repository has the merged commit, so nothing was deployed."
    if not site.unattended:
        return "Every environment needs an approval, so nothing was deployed by itself."
    done = {component for environment in site.unattended for component in site.having(environment)}
    where = " or ".join(site.unattended)
    missing = [
        f"{component} has no target {where} in the team file, so it was not deployed."
        for component in concerned
        if component not in done
    ]
    if (last := site.unattended[-1]) not in site.tested:
        missing.append(untested(last))
    return " ".join(missing)


def untested(environment: str) -> str:
    return f"No end-to-end tests are configured for {environment}, so nothing was tested there."


def _succeeded(thread: Thread, started: Started | None) -> bool:
    waits = [wait for wait in calls(thread, WaitForDeployment) if started and wait.step.run_id == started.run_id]
    outcome = waits[-1].result(Outcome) if waits else None
    return outcome is not None and outcome.state == "succeeded"


def tests_by_code(thread: Thread, environment: str) -> list[Called[RunEndToEndTests]]:
    found = calls(thread, RunEndToEndTests)
    return [test for test in found if test.by_code and test.step.environment == environment]


def passed(test: Called[RunEndToEndTests]) -> bool:
    result = test.result(Tested)
    return result is not None and result.passed
