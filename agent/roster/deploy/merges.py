"""What the steps after a merge have in common: what a merge is, what goes on, and words that are said once. Pure."""

from __future__ import annotations

from agent import DoneForNow, Step, Thread, TriggerReceived, calls
from agent.roster.deploy.tools.follow import RunEndToEndTests, WaitForDeployment
from agent.roster.deploy.tools.merges import WaitForTurn


def is_merge(event: object) -> bool:
    return isinstance(event, TriggerReceived) and event.name == "pull_request_merged" and bool(event.data.get("sha"))


def goes_on(thread: Thread) -> bool:
    """What code has begun here has not ended."""
    return any(call.is_open for call in calls(thread, WaitForDeployment, WaitForTurn, RunEndToEndTests))


def instead_of_it(newer: str) -> str:
    return f"{newer[:7]}, which holds it, was merged after it, and takes its place"


def once(thread: Thread, words: str) -> Step | None:
    done = DoneForNow(message=words)
    return None if any(call.step == done for call in calls(thread, DoneForNow)) else done
