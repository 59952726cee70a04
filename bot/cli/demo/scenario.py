"""The main scenario, played without a person: decides in their place, and checks each step before the next one.

It keeps no state: which scene comes next stands in the thread's log, so a scenario that was killed goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.cli import command
from bot.cli.demo.layout import MERGED
from bot.cli.demo.site import Site
from bot.cli.session import Session
from channels.terminal import Typed
from store.events import MessageReceived
from store.thread import Thread

OBJECTION = "can you deploy the orders first?"
CONCERNED = ("orders", "checkout")
"""The components that the merge changes."""
_GOES_ON = ("working", "waiting", "waiting_for_approval")


class DidNotHappen(command.Failed):
    """A step of the scenario did not happen."""


@dataclass(frozen=True)
class Scene:
    """The agent asks for the approval of one deployment, and the player decides."""

    component: str
    decision: Typed
    before: str
    """What is true before it is decided."""

    @property
    def approves(self) -> bool:
        return self.decision.command == "approve"


SCENES = (
    Scene("checkout", Typed("reject", OBJECTION), "nothing ran before it was approved"),
    Scene("orders", Typed("approve"), "nothing ran after it was rejected"),
    Scene("checkout", Typed("approve"), "the approved orders were deployed to live, and nothing else"),
)


def scenes_played(thread: Thread) -> int | None:
    """How many scenes are over; None: it has ended, or went another way, so the scenario cannot go on in it."""
    requests = [step.request for step in thread.state.steps.values() if step.request]
    decided = [(request, request.decision) for request in requests if request.decision]
    rest = [request for request in requests if not request.decision]
    if rest != ([thread.pending] if thread.pending else []) or len(requests) > len(SCENES):
        return None
    for (request, decision), scene in zip(decided, SCENES, strict=False):
        component = request.chosen.arguments.get("component")
        if (component, decision.approved, decision.comment) != (scene.component, scene.approves, scene.decision.text):
            return None
    if thread.status not in _GOES_ON or any(isinstance(event, MessageReceived) for event in thread.events):
        return None
    return len(decided)


async def play(session: Session, site: Site, *, scenes_over: int = 0) -> None:
    """Raises DidNotHappen."""
    merged = site.sha(MERGED)
    live = {component: site.sha(tag, component) for where, component, tag in site.layout.begins_with if where == "live"}
    thread = await session.until_turn()
    for environment in ("lab", "preview"):
        for component in CONCERNED:
            is_there = site.running(component, environment) == merged
            _check(is_there, f"{component} was deployed to {environment} after the merge")
    _check(_tests_passed(thread, "preview"), "the end-to-end tests passed on preview")
    for number, scene in enumerate(SCENES):
        if number >= scenes_over:
            _expect_request(session.thread, scene.component, merged)
            _check(_live(site) == live, scene.before)
            await session.obey(scene.decision)
            thread = await session.until_turn()
        live |= {scene.component: merged} if scene.approves else {}
    _check(thread.status == "done", "the agent was done")
    _check(_tests_passed(thread, "live"), "the end-to-end tests passed on live")
    _check(_live(site) == live, "what the merge does not concern was left alone")
    print("\nChecked on disk:")
    for component in CONCERNED:
        print(f"  {component} on live runs {site.running(component, 'live')}, which is what was approved")


def _live(site: Site) -> dict[str, str]:
    return {component: site.running(component, "live") for component in site.layout.components}


def _expect_request(thread: Thread, component: str, sha: str) -> None:
    pending, call = thread.pending, f"deploy {component}"
    chosen = pending.chosen if pending else None
    asked = f"{chosen.intent} {chosen.arguments.get('component', '')}" if chosen else thread.status
    _check(pending is not None and asked == call, f"the agent asked approval for {call} (it was: {asked})")
    facts = pending.asked.facts if pending else {}
    new = facts.get("new")
    _check(isinstance(new, dict) and new.get("sha") == sha, f"the request for {call} showed the full commit {sha}")


def _tests_passed(thread: Thread, environment: str) -> bool:
    return any(
        step.chosen.intent == "run_end_to_end_tests"
        and step.chosen.arguments == {"environment": environment}
        and isinstance(step.result, dict)
        and step.result.get("passed") is True
        for step in thread.state.steps.values()
    )


def _check(happened: bool, what: str) -> None:
    if not happened:
        raise DidNotHappen(f"This did not happen: {what}.")
